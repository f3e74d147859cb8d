"""The half-life of popularity is found in the data: planted worlds in which the newest or the oldest choices say what comes next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.models.recent_popularity import Config, Model, decide
from hybridrec.splitting.fading import faded_counts
from hybridrec.types import TrainingData

N_USERS, N_ITEMS, PER_USER = 600, 120, 6


def world(days_of_an_item: float, n_users: int = N_USERS) -> TrainingData:
    """Return 60 days of choices among five items of the moment, each for so many days; with 0 days the same few are always the best."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(n_users), PER_USER)
    ages = rng.uniform(0, 60, len(users))
    of_the_moment = ages // days_of_an_item * 5 + rng.integers(0, 5, len(users)) if days_of_an_item else rng.geometric(0.03, len(users))
    items = of_the_moment.astype(int) % N_ITEMS
    pairs = pd.DataFrame({"user": users, "item": items, "age": ages}).groupby(["user", "item"], as_index=False).age.min()
    matrix = csr_array((np.ones(len(pairs), np.float32), (pairs.user, pairs.item)), shape=(n_users, N_ITEMS))
    nothing = pd.DataFrame()
    return TrainingData(matrix, pairs.age.to_numpy(), nothing, np.ones(N_ITEMS, np.float32), nothing, seed=1, threads=1)


def half_life(data: TrainingData, config: Config | None = None) -> float:
    config = config or Config()
    return Model(replace(config, **decide(data, config))).fit(data)["half_life_days"]  # type: ignore[arg-type]


def test_what_lives_for_days_has_a_short_half_life() -> None:
    assert half_life(world(2.5)) <= 3
    assert half_life(world(2.5)) == half_life(world(2.5))


def test_what_lasts_fades_no_faster_than_usual() -> None:
    assert half_life(world(0)) >= 14


def test_what_may_be_chance_changes_nothing() -> None:
    few = world(0, n_users=90)
    assert half_life(few) == 14
    assert half_life(few, Config(usual_days=20.0)) == 20


def test_what_is_set_by_hand_or_has_no_calendar_is_not_searched() -> None:
    assert half_life(world(2.5), Config(half_life_days=30.0)) == 30
    assert half_life(replace(world(2.5), split="last_per_user")) == 14


def test_a_half_life_that_leaves_next_to_nothing_ranks_by_plain_counts() -> None:
    items, ages = np.array([5, 5, 2, 7]), np.array([700.0, 700.0, 700.0, 0.1])
    scores = faded_counts(items, ages, 1 / 24, 9)
    assert list(np.lexsort((np.arange(9), -scores))[:3]) == [7, 5, 2]


def test_too_few_choices_leave_the_usual_one() -> None:
    data = world(2.5)
    one = replace(data, matrix=data.matrix[:1], last_event_day=np.zeros(data.matrix[:1].nnz))
    assert half_life(one) == 14

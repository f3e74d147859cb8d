"""Contract of every objective, the boost, and the choice of its strength."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from benchmarks.loop.bandits import mean_worth
from hybridrec.balancing.strength import Tried, chosen, known_items, write_night_boost
from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.base.trying import Objective
from hybridrec.candidates.candidate_set import feature_files, load_candidates
from hybridrec.evaluation.bootstrap import Interval
from hybridrec.objectives import LARGEST, standard_worth
from hybridrec.policy.boost import Boost, boost_folder, boosted, read_boost, spreads
from hybridrec.policy.policy import Choice, load_policy
from hybridrec.policy.ranked_lists import Depth, Ranking, rank_batches, rank_candidate_set
from hybridrec.runs.run import Run
from hybridrec.strategies import create
from tests.support import made_candidates
from tests.support.policies import policy_folder, policy_home  # noqa: F401  fixtures

NAMES = extensions.names("objectives")
AS_OF = datetime(2026, 4, 1, tzinfo=UTC)
NAN = np.nan


def catalogue() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": list("abcde"),
            "price": [1.0, 2.0, 3.0, 4.0, 5.0],
            "margin": [0.5, NAN, 0.1, -0.2, 0.1],
            "released_at": pd.to_datetime(["2026-03-01"] * 5, utc=True),
            "age_days": [31.0, 2.0, NAN, 400.0, -3.0],
            "n_users": [0, 10, 1000, 3, 3],
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_worth_is_a_standard_score(name: str) -> None:
    assert len(extensions.module("objectives", name).DOC) > 20
    z = standard_worth(name, catalogue(), AS_OF)
    assert z.dtype == np.float32 and z.shape == (5,)
    assert np.isfinite(z).all() and np.abs(z).max() <= LARGEST
    assert z.mean() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_a_catalogue_of_equals_is_refused(name: str) -> None:
    same = catalogue().assign(margin=NAN, age_days=7.0, n_users=5)
    with pytest.raises(PermanentError, match=rf"\[objective\]: {name} says the same of every item of the catalogue"):
        standard_worth(name, same, AS_OF)


def test_which_item_is_worth_most() -> None:
    order = {name: np.argsort(-standard_worth(name, catalogue(), AS_OF), kind="stable").tolist() for name in NAMES}
    assert order["margin"][0] == 0 and order["margin"][-1] == 3
    assert order["freshness"][0] == 4 and order["freshness"][-1] == 3
    assert order["exposure"][0] == 0 and order["exposure"][-1] == 2
    assert standard_worth("margin", catalogue(), AS_OF)[1] == 0, "a price is no margin"


def test_a_strength_of_nothing_changes_no_bit() -> None:
    candidates = made_candidates.random_candidates(20, 30)
    scores = candidates.features["score_als"]
    z = np.random.default_rng(1).normal(size=candidates.items.max() + 1).astype(np.float32)
    assert boosted(scores, candidates, Boost(0.0, z)) is scores
    moved = boosted(scores, candidates, Boost(0.3, z))
    assert_array_equal(np.isnan(moved), np.isnan(scores))


def test_the_lift_is_measured_in_the_users_own_spread() -> None:
    candidates = made_candidates.candidates_by_hand([1, 1, 2, 2, 2], [0, 1, 0, 1, 2])
    scores = np.array([0, 2, 10, 30, NAN], dtype=np.float32)
    assert spreads(scores, candidates.starts).tolist() == [1.0, 10.0]
    lifted = boosted(scores, candidates, Boost(0.5, np.array([1.0, -1.0, 3.0], dtype=np.float32)))
    assert_array_equal(lifted, np.array([0.5, 1.5, 15, 25, NAN], dtype=np.float32))


def test_worth_rises_with_the_strength() -> None:
    worth = [mean_worth(strength, seed=9, n_users=100) for strength in (0.0, 0.1, 0.3, 1.0, 3.0)]
    assert (np.diff(worth) > 0).all()


@pytest.mark.parametrize(
    ("lows", "max_loss", "expected"),
    [((-0.001, -0.003, -0.02), 0.005, 0.2), ((-0.001, -0.003, -0.02), 0.0005, 0.0), ((0.002, 0.001, 0.0), 0.002, 0.4)],
)
def test_the_largest_strength_that_surely_costs_little(lows: tuple[float, ...], max_loss: float, expected: float) -> None:
    tried = [Tried(0.0, Interval(0, 0, 0), 0.0)]
    tried += [Tried(strength, Interval(low + 0.01, low, 0.1), 1.0) for strength, low in zip((0.1, 0.2, 0.4), lows, strict=True)]
    assert chosen(tried, max_loss) == expected


def with_objective(run: Run, **options: object) -> Run:
    return Run(replace(run.manifest, config=replace(run.config, objective=Objective(**options))), run.settings)  # type: ignore[arg-type]


CHOICES = {segment: Choice("strategy", "weighted", "") for segment in ("none", "light", "heavy")}


def test_a_night_chooses_and_ranks_by_it(small_run: Run, policy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    run = with_objective(small_run, name="exposure", max_loss=0.9, strengths=[0.1, 0.5])
    write_night_boost(run, CHOICES, {"weighted": create("weighted", run.config)})
    folder = boost_folder(run)
    assert folder is not None
    boost = read_boost(folder)
    assert boost.strength == 0.5
    assert_array_equal(boost.z, standard_worth("exposure", known_items(run, "full"), run.manifest.as_of))
    table = run.read("model_candidates", "full").sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    ranking = Ranking(feature_files(run, "full"), policy_folder, Depth(5, 3), boost=folder)
    boosted_lists = list(rank_batches(iter(table.to_batches()), ranking))
    plain = rank_candidate_set(load_candidates(run, "full"), load_policy(policy_folder), Depth(5, 3)).to_pandas()
    items = np.concatenate([batch["item_idx"].to_numpy() for batch in boosted_lists])
    assert boost.z[items].mean() > boost.z[plain.item_idx].mean()


def test_where_every_strength_costs_too_much_the_lists_are_those_without(small_run: Run, policy_folder: Path) -> None:  # noqa: F811
    run = with_objective(small_run, name="exposure", max_loss=0.0, strengths=[5.0])
    write_night_boost(run, CHOICES, {"weighted": create("weighted", run.config)})
    assert boost_folder(run) is None


def test_a_night_without_an_objective_writes_nothing(small_run: Run) -> None:
    write_night_boost(small_run, CHOICES, {})
    assert boost_folder(small_run) is None

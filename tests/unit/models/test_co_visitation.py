"""Co-visitation by hand: which events of one user follow one another, by type and time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.models.co_visitation import Config, Model
from hybridrec.types import TrainingData, Visits

VIEW, CART, PURCHASE = 0.2, 0.8, 1.0
PLAIN = Config(shrinkage=0.0, user_damping=0.0, rarity=0.0)


def data(*events: tuple[int, int, float, float]) -> TrainingData:
    """Return training data of (user, item, days before the cut, weight), oldest first."""
    users, items, days, weights = (np.array(values) for values in zip(*events, strict=True))
    visits = Visits(users.astype(np.int32), items.astype(np.int32), days.astype(float), weights.astype(np.float32))
    matrix = csr_array((np.ones(len(users), np.float32), (users, items)), shape=(users.max() + 1, 5))
    matrix.sum_duplicates()
    return TrainingData(
        matrix, np.ones(matrix.nnz), pd.DataFrame(), np.zeros(5, np.float32), pd.DataFrame(), seed=1, threads=1, visits=visits
    )


def ways(config: Config, *events: tuple[int, int, float, float]) -> dict[tuple[int, int], object]:
    model = Model(config)
    model.fit(data(*events))
    rows, columns = model.neighbours.nonzero()
    return {
        (int(row), int(column)): pytest.approx(float(model.neighbours.toarray()[row, column]))
        for row, column in zip(rows, columns, strict=True)
    }


def test_a_way_leads_from_what_weighs_less_to_what_weighs_more() -> None:
    events = ((0, 0, 9.9, VIEW), (0, 1, 9.8, CART), (0, 2, 9.7, PURCHASE), (0, 3, 9.6, VIEW))
    assert ways(PLAIN, *events) == {(0, 1): 0.8, (0, 2): 1.0, (1, 2): 1.0}


def test_it_ends_with_the_window_of_its_kind() -> None:
    events = ((0, 0, 40.0, PURCHASE), (0, 1, 20.0, VIEW), (0, 2, 18.0, PURCHASE), (0, 3, 3.0, PURCHASE))
    assert ways(PLAIN, *events) == {(0, 2): 1.0, (2, 3): 1.0}
    assert ways(replace(PLAIN, visit_days=3.0, again_days=1.0), *events) == {(1, 2): 1.0}


def test_purchases_of_one_moment_lead_to_each_other_and_users_do_not_mix() -> None:
    events = ((0, 0, 5.0, PURCHASE), (0, 1, 5.0, PURCHASE), (1, 2, 5.0, PURCHASE), (1, 3, 4.0, PURCHASE))
    assert ways(PLAIN, *events) == {(0, 1): 1.0, (1, 0): 1.0, (2, 3): 1.0}


def test_many_who_go_on_weigh_more_than_one() -> None:
    events = [event for user in range(4) for event in ((user, 0, 5.0, VIEW), (user, 1 if user else 2, 4.9, PURCHASE))]
    found = ways(PLAIN, *events)
    assert found == {(0, 1): 3 / 2, (0, 2): 1 / 2}, "three and one of four views, by the root of four"

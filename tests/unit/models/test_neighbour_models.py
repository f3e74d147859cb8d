"""Neighbour models on data that is small enough for a pencil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.models import item_knn, rp3beta, sequence_knn, user_knn
from hybridrec.retrieval import select
from hybridrec.retrieval.recency import newer_items, newer_visits
from hybridrec.types import TrainingData, UserBlock

# users 0 and 1 chose items 0 and 1, user 2 chose items 0 and 2; item 3 has no event
CHOSEN = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]]
PLAIN: dict[str, Any] = {"shrinkage": 0.0, "user_damping": 0.0, "rarity": 0.5}


def training(chosen: list[list[int]], days: list[float] | None = None) -> TrainingData:
    """Return data without content; days: age of each choice, row by row."""
    matrix = csr_array(np.array(chosen, dtype=np.float32))
    ages = np.array(days if days is not None else [1.0] * matrix.nnz)
    return TrainingData(matrix, ages, pd.DataFrame(), np.zeros(matrix.shape[1], np.float32), pd.DataFrame(), seed=1, threads=1)


def user(items: list[int], days: Sequence[float], n_items: int = 4, number: int = 0) -> UserBlock:
    """Return one user with a history; items rising."""
    history = csr_array((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, n_items))
    return UserBlock(np.array([number], np.int32), history, np.array(days, dtype=np.float32))


@pytest.mark.parametrize(
    ("options", "to_1", "to_2"),
    [
        (PLAIN, 2 / np.sqrt(6), 1 / np.sqrt(3)),
        (PLAIN | {"shrinkage": 1.0}, 2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)),
        (PLAIN | {"rarity": 0.0}, 2 / np.sqrt(3), 1 / np.sqrt(3)),  # all that is popular comes nearer
    ],
)
def test_item_knn_is_a_cosine(options: dict[str, Any], to_1: float, to_2: float) -> None:
    model = item_knn.Model(item_knn.Config(**options))
    model.fit(training(CHOSEN))
    np.testing.assert_allclose(model.neighbours.toarray()[0], [0, to_1, to_2, 0], rtol=1e-6)


def test_item_knn_hears_users_of_long_histories_less() -> None:
    model = item_knn.Model(item_knn.Config(shrinkage=0.0, user_damping=0.5, rarity=0.5))
    model.fit(training([[1, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 0]]))
    near = model.neighbours.toarray()
    # squared weights of the users: c/2, c/3, c/2 with a common c
    np.testing.assert_allclose(near[0, 1], (1 / 2) / np.sqrt((4 / 3) * (1 / 2)), rtol=1e-6)
    np.testing.assert_allclose(near[0, 2], (5 / 6) / np.sqrt((4 / 3) * (5 / 6)), rtol=1e-6)


def test_item_knn_keeps_the_nearest() -> None:
    model = item_knn.Model(item_knn.Config(**PLAIN, neighbours=1))
    model.fit(training(CHOSEN))
    assert model.similar(np.arange(4, dtype=np.int32), 2).items.tolist() == [[1, -1], [0, -1], [0, -1], [-1, -1]]


@pytest.mark.parametrize(("beta", "to_1", "to_2"), [(0.0, 1 / 3, 1 / 6), (1.0, 1 / 6, 1 / 6)])
def test_rp3beta_is_a_probability_over_popularity(beta: float, to_1: float, to_2: float) -> None:
    model = rp3beta.Model(rp3beta.Config(alpha=1.0, beta=beta))
    model.fit(training(CHOSEN))
    # from item 0 to each of its three users by a third, from each on to item 1 or 2 by a half
    np.testing.assert_allclose(model.neighbours.toarray()[0], [0, to_1, to_2, 0], rtol=1e-6)


SEQUENTIAL: dict[str, Any] = PLAIN | {"fading": 1.0, "backward": 0.5, "recency": 1.0}


def followers(days: list[float], **options: float) -> list[list[float]]:
    """Return the lists after user 0, who chose items 0, 1, 2 at these ages, and user 1, who chose item 3."""
    model = sequence_knn.Model(sequence_knn.Config(**SEQUENTIAL | options))
    model.fit(training([[1, 1, 1, 0], [0, 0, 0, 1]], [*days, 2]))
    return np.round(model.neighbours.toarray().astype(np.float64), 6).tolist()


def test_sequence_knn_counts_what_follows_soon() -> None:
    assert followers([9, 5, 4]) == [[0, 1, 0.5, 0], [0.5, 0, 1, 0], [0.25, 0.5, 0, 0], [0, 0, 0, 0]]


def test_sequence_knn_looks_no_further_than_its_window() -> None:
    assert followers([9, 5, 4], window=1) == [[0, 1, 0, 0], [0.5, 0, 1, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]]


def test_sequence_knn_without_order_is_plain_co_occurrence() -> None:
    assert followers([7, 7, 7]) == [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert followers([9, 4, 4]) == [[0, 1, 1, 0], [0.5, 0, 1, 0], [0.5, 1, 0, 0], [0, 0, 0, 0]], "one visit of two items"


def test_sequence_knn_asks_with_the_newest_items_first() -> None:
    model = sequence_knn.Model(sequence_knn.Config(**SEQUENTIAL))
    np.testing.assert_allclose(model.queries(user([0, 1, 2], [9, 5, 4])).toarray(), [[1 / 3, 1 / 2, 1, 0]])
    np.testing.assert_allclose(model.queries(user([0, 1, 2], [9, 4, 4])).toarray(), [[1 / 2, 1, 1, 0]])
    np.testing.assert_allclose(model.queries(user([0, 1, 2], [4, 4, 4])).toarray(), [[1, 1, 1, 0]])


def test_blocks_follow_the_size_of_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "BLOCK_CELLS", 10)
    assert list(select.uneven_blocks(np.array([4, 4, 30, 1, 1]))) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(select.uneven_blocks(np.array([3, 3, 3, 3, 3]))) == [slice(0, 3), slice(3, 5)]


def test_visits_and_items_are_counted_from_the_newest() -> None:
    days = [3, 1, 1, 2]
    assert newer_visits(user([0, 1, 2, 3], days)).tolist() == [2, 0, 0, 1]
    assert newer_items(user([0, 1, 2, 3], days)).tolist() == [3, 0, 0, 2]


def test_user_knn_asks_others_by_the_history_it_is_given() -> None:
    model = user_knn.Model(user_knn.Config(rarity=0.0, shrinkage=0.0, focus=1.0))
    model.fit(training([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]))
    # likeness of {0, 1} to user 1 and user 2 is 2/sqrt(3) and 1/sqrt(2), over the larger: 1 and sqrt(3/8)
    assert_scores(model, user([0, 1], [1, 1]), [2, 3], [1, np.sqrt(3 / 8)])
    # the same user with another history: user 2 is nearest, and the own row, which holds item 1, has no vote
    assert_scores(model, user([3], [1]), [0, 1], [1, 0])


def test_user_knn_counts_what_few_share_for_more() -> None:
    model = user_knn.Model(user_knn.Config(rarity=0.5, shrinkage=0.0, focus=1.0))
    model.fit(training([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]]))
    # user 2's rare item 2 makes its vector (0, 1/sqrt(2), 1, 0), of length sqrt(3/2); user 1's is (1/sqrt(2), 1/sqrt(2), 0, 0)
    # likeness of {1} is 1/2 over the lengths, sqrt(3/2) and 1; a vote for item 2 counts 1, one for item 0 counts 1/sqrt(2)
    assert_scores(model, user([1], [1]), [0, 2], [1 / np.sqrt(2), np.sqrt(2 / 3)])


def assert_scores(model: user_knn.Model, users: UserBlock, items: list[int], expected: list[float]) -> None:
    rows = np.zeros(len(items), np.int32)
    np.testing.assert_allclose(model.score_pairs(users, rows, np.array(items, np.int32)), expected, rtol=1e-6)

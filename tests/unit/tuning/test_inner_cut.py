"""Pairs that an inner cut holds out and leaves, by hand for each split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from hybridrec.base.config import SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.tuning.inner_cut import inner_cut
from hybridrec.types import Visits
from tests.support.training_data import data_of, random_data

# user, item, days before the cut; user 3 has one pair, user 4 none
PAIRS = [(0, 0, 9), (0, 1, 5), (0, 2, 2), (0, 3, 1), (1, 0, 8), (1, 2, 7), (1, 4, 3), (2, 1, 6), (2, 4, 4), (3, 5, 1)]


def pairs_of(matrix: csr_array) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in matrix.nonzero()), strict=True))


def labels_of(cut: object) -> set[tuple[int, int]]:
    labels = cut.labels  # type: ignore[attr-defined]
    return set(zip(np.repeat(labels.users, np.diff(labels.starts)).tolist(), labels.items.tolist(), strict=True))


def test_by_time_the_newest_pairs_are_held_out_and_the_cut_moves() -> None:
    cut = inner_cut(data_of(PAIRS, "time"), share=0.35, seed=0)
    # 3 of 10 pairs: (0, 3) and (3, 5) of day 1, (0, 2) of day 2; user 3 has no history left and is not judged
    assert pairs_of(cut.data.matrix) == {(u, i) for u, i, d in PAIRS if d >= 3}
    assert labels_of(cut) == {(0, 2), (0, 3)}
    np.testing.assert_array_equal(cut.data.last_event_day, [6, 2, 5, 4, 0, 3, 1])  # 3 days less, aligned with the matrix
    np.testing.assert_allclose(cut.data.matrix.data, [1 / (1 + d) for u, i, d in sorted(PAIRS) if d >= 3], rtol=1e-6)
    np.testing.assert_array_equal(cut.data.item_age_days, [16, 13, 14, np.nan, 11, np.nan, np.nan])
    np.testing.assert_array_equal(cut.users.user_idx, [0])
    np.testing.assert_array_equal(cut.users.history.indices, [0, 1])
    np.testing.assert_array_equal(cut.users.days, [6, 2])


def test_visits_end_at_the_cut_too() -> None:
    data = data_of(PAIRS, "time")
    users, items, days = (np.array(values) for values in zip(*PAIRS, strict=True))
    visits = Visits(users.astype(np.int32), items.astype(np.int32), days.astype(float), np.ones(len(days), np.float32))
    left = inner_cut(replace(data, visits=visits), share=0.35, seed=0).data.visits
    assert left is not None
    assert set(zip(left.users.tolist(), left.items.tolist(), left.days.tolist(), strict=True)) == {
        (u, i, d - 3) for u, i, d in PAIRS if d >= 3
    }
    assert inner_cut(data, share=0.35, seed=0).data.visits is None


def test_pairs_of_one_moment_stay_together() -> None:
    pairs = [(u, i, 0 if i < 2 else 5 + i) for u in range(3) for i in range(5)]  # 6 of 15 at the newest moment
    cut = inner_cut(data_of(pairs, "time"), share=0.1, seed=0)
    assert labels_of(cut) == {(u, i) for u in range(3) for i in range(2)}


def test_last_per_user_holds_out_the_newest_pair_of_whoever_has_three() -> None:
    cut = inner_cut(data_of(PAIRS, "last_per_user"), share=0.1, seed=0)
    assert labels_of(cut) == {(0, 3), (1, 4)}
    assert pairs_of(cut.data.matrix) == {(u, i) for u, i, _ in PAIRS} - {(0, 3), (1, 4)}
    np.testing.assert_array_equal(cut.users.user_idx, [0, 1])
    np.testing.assert_array_equal(cut.data.item_age_days, [19, 16, 17, np.nan, 14, 11, np.nan])  # item 3 has lost its only pair


def test_random_per_user_draws_a_share_and_leaves_each_user_something() -> None:
    pairs = [(0, i, 1) for i in range(7)] + [(1, 0, 1), (1, 1, 1), (2, 3, 1)]
    cut = inner_cut(data_of(pairs, "random_per_user"), share=0.5, seed=0)
    held = labels_of(cut)
    assert sum(user == 0 for user, _ in held) in (3, 4)
    assert sum(user == 1 for user, _ in held) == 1
    assert not any(user == 2 for user, _ in held)  # nothing else would be left
    big = inner_cut(random_data("random_per_user"), share=0.1, seed=0)
    assert len(big.labels.items) == pytest.approx(0.1 * random_data("time").matrix.nnz, rel=0.15)


@pytest.mark.parametrize("split", ["time", "last_per_user", "random_per_user"])
def test_no_held_out_pair_is_left_and_a_seed_gives_one_cut(split: SplitMethod) -> None:
    data = random_data(split)
    cut = inner_cut(data, share=0.1, seed=5, max_users=30)
    assert len(cut.labels.users) == 30
    assert labels_of(cut) <= pairs_of(data.matrix)
    assert labels_of(cut) & pairs_of(cut.data.matrix) == set()
    assert pairs_of(cut.data.matrix) < pairs_of(data.matrix)
    assert cut.data.matrix.has_sorted_indices
    assert (np.diff(cut.users.history.indptr) > 0).all()
    assert (np.diff(cut.labels.starts) > 0).all()
    assert (cut.data.last_event_day >= 0).all()
    np.testing.assert_array_equal(cut.users.user_idx, cut.labels.users)
    again = inner_cut(data, share=0.1, seed=5, max_users=30)
    np.testing.assert_array_equal(cut.data.matrix.toarray(), again.data.matrix.toarray())
    np.testing.assert_array_equal(cut.labels.users, again.labels.users)
    assert (cut.data.seed, cut.data.split, len(cut.data.users)) == (data.seed, split, 200)


@pytest.mark.parametrize("split", ["time", "last_per_user", "random_per_user"])
def test_nobody_to_judge_is_refused(split: SplitMethod) -> None:
    nothing = data_of([(0, 1, 3), (1, 1, 3)], split)
    with pytest.raises(PermanentError, match="inner cut: no user of 5 has both a pair held out and a history left, of 2 pairs"):
        inner_cut(nothing, share=0.1, seed=0)
    empty = replace(nothing, matrix=csr_array(np.zeros((5, 7), np.float32)), last_event_day=np.zeros(0))
    with pytest.raises(PermanentError, match="of 0 pairs"):
        inner_cut(empty, share=0.1, seed=0)

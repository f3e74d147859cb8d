"""Greedy selection of retrievers: by hand, and that it never ends below the best single one."""

from __future__ import annotations

import numpy as np
import pytest

from hybridrec.ranking.selection import select_retrievers
from tests.support import made_candidates

NAN = np.nan


def test_the_retriever_that_knows_is_taken_alone() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 1, 2, 2, 2],
        [1, 2, 3, 1, 2, 3],
        rank_good=[1, 2, 3, 1, 2, 3],
        z_good=[3, 2, 1, 3, 2, 1],
        rank_bad=[3, 2, 1, 3, 2, 1],
        z_bad=[1, 2, 3, 1, 2, 3],
        rank_mute=[NAN] * 6,
        z_mute=[NAN] * 6,
    )
    assert select_retrievers(candidates, np.array([1, 0, 0, 1, 0, 0], dtype=np.float32), k=2, max_users=10, seed=1) == {"good": 1.0}


def test_retrievers_that_know_different_users_share_the_weight() -> None:
    # the first is sure of user 1's choice and nearly indifferent about user 2's, the second the other way round
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 2, 2], [1, 2, 1, 2], rank_a=[1, 2, 1, 2], z_a=[2, -2, 0.1, -0.1], rank_b=[1, 2, 1, 2], z_b=[-0.1, 0.1, -2, 2]
    )
    found = select_retrievers(candidates, np.array([1, 0, 0, 1], dtype=np.float32), k=2, max_users=10, seed=1)
    assert found == {"a": 0.5, "b": 0.5}


def test_a_retriever_that_scores_everything_alike_is_worth_nothing() -> None:
    flat = [0.0] * 4
    candidates = made_candidates.candidates_by_hand(
        [1] * 4, [1, 2, 3, 4], rank_a=[1, 2, 3, 4], z_a=[2, 1, 0, -1], rank_flat=[1, 2, 3, 4], z_flat=flat
    )
    for label in range(3):
        gains = np.eye(4, dtype=np.float32)[label]
        assert select_retrievers(candidates, gains, k=3, max_users=10, seed=1) == {"a": 1.0}


@pytest.mark.parametrize("seed", range(3))
def test_it_follows_the_seed_and_the_users_only(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(30), 20)
    hidden = rng.normal(size=600)
    columns = {f"z_{name}": hidden + rng.normal(size=600) for name in "abc"} | {f"rank_{name}": np.ones(600) for name in "abc"}
    candidates = made_candidates.candidates_by_hand(users.tolist(), np.tile(np.arange(20), 30).tolist(), **columns)  # type: ignore[arg-type]
    gains = (hidden > 1.5).astype(np.float32)
    found = select_retrievers(candidates, gains, k=5, max_users=30, seed=1)
    assert sum(found.values()) == pytest.approx(1) and found == select_retrievers(candidates, gains, k=5, max_users=30, seed=2)

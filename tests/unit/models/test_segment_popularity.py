"""Popularity within groups, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.models.segment_popularity import Config, Model
from hybridrec.types import TrainingData, UserBlock


def test_a_group_prefers_what_its_members_chose() -> None:
    # two women chose item 0, two men item 1; one stranger of each, and one of whom nothing is known
    matrix = csr_array(np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0]], dtype=np.float32))
    gender = ["F", "F", "M", "M", "F", "M", None]
    users = pd.DataFrame(
        {"user_idx": range(7), "gender": gender, "occupation": None, "region": None, "age_years": pd.array([None] * 7, "Int32")}
    )
    data = TrainingData(matrix, np.ones(4), pd.DataFrame(index=range(2)), np.ones(2, np.float32), users, seed=1, threads=1)
    model = Model(Config(prior_users=2.0, min_users=2))
    model.fit(data)
    strangers = UserBlock(np.array([4, 5, 6], np.int32), matrix[[4, 5, 6]], np.zeros(0, np.float32))
    scores = model.score_pairs(strangers, np.array([0, 0, 1, 2], np.int32), np.array([0, 1, 1, 0], np.int32))
    # (2 of the group + 2 x 1/2 of everybody) / (2 + 2), and 2 of 4 for everybody
    np.testing.assert_allclose(scores, [0.75, 0.25, 0.75, 0.5])
    assert model.top_k(strangers, 1).items.ravel().tolist() == [0, 1, 0]


def test_more_groups_than_it_can_hold_are_refused_with_their_size() -> None:
    """Every user lives in a region of their own."""
    n_users, n_items = 300, 500
    users = pd.DataFrame({"user_idx": range(n_users), "region": [str(user) for user in range(n_users)]})
    matrix = csr_array(np.eye(n_users, n_items, dtype=np.float32))
    data = TrainingData(
        matrix, np.ones(n_users), pd.DataFrame(index=range(n_items)), np.ones(n_items, np.float32), users, seed=1, threads=1
    )
    with pytest.raises(
        PermanentError, match=r"models.segment_popularity: the shares of 500 items in 300 groups take .* GB; .*min_users.*HYBRIDREC_SKIP"
    ):
        Model(Config(min_users=1, max_cells=100_000)).fit(data)

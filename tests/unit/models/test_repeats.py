"""Models of what people choose again, and the features of such pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from hybridrec.candidates import repeats
from hybridrec.models import own_frequency, tifu_knn
from hybridrec.types import TrainingData, UserBlock

NOTHING_HAD = csr_array(np.zeros((3, 4), dtype=np.float32))
DAY = 86_400


def world() -> tuple[TrainingData, UserBlock]:
    """Return three users of four items: the first two are alike, the third chose one other item."""
    weights = csr_array(np.array([[4.0, 1.0, 0.0, 0.0], [4.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]], dtype=np.float32))
    days = np.array([1.0, 200.0, 1.0, 1.0, 1.0, 1.0])
    data = TrainingData(weights, days, pd.DataFrame(), np.zeros(4, np.float32), pd.DataFrame(), seed=1, threads=1)
    return data, UserBlock(np.arange(3, dtype=np.int32), weights, days.astype(np.float32), NOTHING_HAD)


def test_own_frequency_fades() -> None:
    data, users = world()
    model = own_frequency.Model(own_frequency.Config(half_life_days=100.0))
    model.fit(data)
    found = model.top_k(users, 4)
    assert found.items.tolist() == [[0, 1, -1, -1], [0, 2, 1, -1], [3, -1, -1, -1]]
    assert found.scores[0, :2] == pytest.approx([4 * 0.5**0.01, 1 * 0.5**2])


@pytest.mark.parametrize(("own_share", "first"), [(1.0, [0, 1]), (0.5, [0, 2])])
def test_tifu_mixes_the_users_own_choices_with_those_of_who_is_alike(own_share: float, first: list[int]) -> None:
    data, users = world()
    model = tifu_knn.Model(tifu_knn.Config(half_life_days=100.0, neighbours=1, own_share=own_share))
    model.fit(data)
    assert model.top_k(users, 2).items[0].tolist() == first


def test_tifu_is_the_papers_mean() -> None:
    data, users = world()
    model = tifu_knn.Model(tifu_knn.Config(half_life_days=1e9, neighbours=1, own_share=0.25))
    model.fit(data)
    scores = model.score_pairs(users, np.zeros(4, np.int32), np.arange(4, dtype=np.int32))
    own, other = np.array([4, 1, 0, 0]) / 5, np.array([4, 1, 2, 0]) / 7
    np.testing.assert_allclose(scores, 0.25 * own + 0.75 * other, rtol=1e-6)


def test_features_of_pairs() -> None:
    history = pa.table(
        {
            "user_idx": pa.array([7, 7, 9], pa.int32()),
            "item_idx": pa.array([5, 2, 2], pa.int32()),
            "n_events": pa.array([3, 1, 1], pa.int32()),
            "first_event_at": pa.array([(100 - 21) * DAY * 1_000_000, 90 * DAY * 1_000_000, 99 * DAY * 1_000_000], pa.timestamp("us")),
            "last_event_at": pa.array([(100 - 1) * DAY * 1_000_000, 90 * DAY * 1_000_000, 99 * DAY * 1_000_000], pa.timestamp("us")),
        }
    )
    users, starts, items = np.array([7, 9], np.int32), np.array([0, 3, 4]), np.array([2, 4, 5, 5], np.int32)
    found = repeats.columns(history, users, starts, items, 100.0 * DAY, np.array([4, 4, 4, 4], np.float32))
    nan = np.nan
    expected: dict[str, np.ndarray] = {
        "pair_log_n_events": np.log1p([1, 0, 3, 0]),
        "pair_days": np.array([10, nan, 1, nan]),
        "pair_gap_days": np.array([nan, nan, 10, nan]),
        "pair_due": np.array([10 / 4, nan, 1 / 10, nan]),
        "user_repeat_share": np.array([0.5, 0.5, 0.5, 0]),
        "user_gap_days": np.array([10, 10, 10, nan]),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_features_without_any_history() -> None:
    history = pa.table({name: pa.array([], pa.int64()) for name in ("user_idx", "item_idx", *repeats.COLUMNS)})
    found = repeats.columns(history, np.array([3], np.int32), np.array([0, 2]), np.array([1, 2], np.int32), 1.0, np.zeros(2, np.float32))
    assert found["pair_log_n_events"].tolist() == [0, 0] and np.isnan(found["pair_days"]).all() and np.isnan(found["user_gap_days"]).all()

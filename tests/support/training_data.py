"""Small training data, of given pairs or random ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.base.config import SplitMethod
from hybridrec.types import TrainingData


def data_of(pairs: Sequence[tuple[int, int, float]], split: SplitMethod, n_users: int = 5, n_items: int = 7) -> TrainingData:
    """Return training data of (user, item, days) with weight 1 / (1 + days); an item is 10 days older than its oldest pair."""
    users, items, days = (np.array(column) for column in zip(*sorted(pairs), strict=True))
    starts = np.searchsorted(users, np.arange(n_users + 1)).astype(np.int32)
    matrix = csr_array(((1 / (1 + days)).astype(np.float32), items.astype(np.int32), starts), shape=(n_users, n_items))
    ages = np.full(n_items, np.nan, dtype=np.float32)
    np.fmax.at(ages, items, (days + 10).astype(np.float32))
    frames = pd.DataFrame({"item_idx": range(n_items)}), pd.DataFrame({"user_idx": range(n_users)})
    return TrainingData(matrix, days.astype(np.float64), frames[0], ages, frames[1], seed=1, threads=1, split=split)


def random_data(split: SplitMethod) -> TrainingData:
    """Return 200 users with about 12 of 60 items each, at whole days so that moments are shared."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((200, 60)) < 0.2)
    return data_of(
        [(int(u), int(i), float(d)) for u, i, d in zip(users, items, rng.integers(0, 90, len(users)), strict=True)], split, 200, 60
    )

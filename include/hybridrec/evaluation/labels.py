"""The labels of a fold, and the segments its users belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.evaluation.metrics import Labels
from hybridrec.ranking.groups import starts_of
from hybridrec.ranking.pool import Ints

if TYPE_CHECKING:
    from hybridrec.run import Run

SEGMENTS = ("none", "light", "heavy")


def load_labels(run: Run, fold: str) -> Labels:
    """The labels of fold rank or eval."""
    table = run.read("model_labels", fold, ["user_idx", "item_idx", "gain"])
    table = table.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    users = table["user_idx"].to_numpy().astype(np.int32)
    starts = starts_of(users)
    return Labels(users[starts[:-1]], starts, table["item_idx"].to_numpy(), table["gain"].to_numpy())


def labels_of(labels: Labels, users: Ints) -> Labels:
    """The labels of some of the users."""
    kept = np.isin(labels.users, users)
    rows = np.repeat(kept, np.diff(labels.starts))
    sizes = np.diff(labels.starts)[kept]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Labels(labels.users[kept], starts, labels.items[rows], labels.gains[rows])


def history_lengths(run: Run, fold: str, users: Ints) -> Ints:
    """Items in each user's history before the fold's cut, 0 without history; int32 (n_users,)."""
    table = run.read("model_user_features", fold, ["user_idx", "user_n_items"])
    known, lengths = table["user_idx"].to_numpy(), table["user_n_items"].to_numpy()
    found = np.zeros(max(int(users.max(initial=-1)), int(known.max(initial=-1))) + 1, dtype=np.int32)
    found[known] = lengths
    return found[users]


def segments_of(lengths: Ints, light_max_items: int) -> NDArray[np.str_]:
    """none, light or heavy for each length of history."""
    return np.select([lengths == 0, lengths <= light_max_items], ["none", "light"], default="heavy")

"""Objectives beside relevance: what an item is worth to the shop; one file each, found by file name.

An extension has `DOC` (one line) and

    def worth(items: pd.DataFrame, as_of: datetime) -> Doubles

items: a row an item in the order of item_idx, with item_id, price, margin, released_at, age_days (since release, else since the first
event; NaN when neither is known) and n_users, who had it before as_of. Returns float64 (n_items,), higher is better, NaN where nothing is
known; such an item counts as the mean.

Policies add it to scores as far as that costs no more than [objective] allows: hybridrec.policy.boost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.types import Doubles, Floats

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "objectives"
LARGEST = 3.0  # standard deviations: one item of a thousand times the margin must not be in every list


def standard_worth(name: str, items: pd.DataFrame, as_of: datetime) -> Floats:
    """Return each item's worth in standard deviations from the mean, at most LARGEST, float32 (n_items,); 0 where nothing is known.

    PermanentError if no two items differ: then the objective could only be an accident of ties.
    """
    worth = cast(Doubles, extensions.module(FOLDER, name).worth(items, as_of))
    known = worth[~np.isnan(worth)]
    if not len(known) or known.min() == known.max():
        raise PermanentError(
            f"[objective]: {name} says the same of every item of the catalogue; deliver what it needs (see docs/bandits.md), "
            "or choose another objective"
        )
    z = (worth - known.mean()) / known.std()
    return np.asarray(np.nan_to_num(np.clip(z, -LARGEST, LARGEST)), dtype=np.float32)

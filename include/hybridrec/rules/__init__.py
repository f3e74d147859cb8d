"""Business rules: one file each, applied to every user's ranked list before it is published.

An extension has `DOC` (one line), `KIND`, optionally a frozen `Config`, and

    def apply(ranked: pd.DataFrame, context: RuleContext, config: Config) -> pd.DataFrame

or, without a Config, `apply(ranked, context)`.

ranked: user_idx, item_idx (int32), score (float64, higher is better); sorted by user_idx, then score falling, then item_idx.
Kinds run in a fixed order: FILTER removes rows, BOOST changes scores (finite), CAP limits groups within a list and
removes rows, DIVERSIFY reorders by changing scores. A rule only does what its kind says, and keeps the order of rows.

Within a kind the order of rules cannot matter: all of them see the same rows and scores; a row that one removes is gone,
and changes of scores add up. A rule that must see what another one did needs another kind, or is part of the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_array


class Kind(IntEnum):
    """Kinds of rule in the order in which they run, with all that sets them apart; docs/adding-a-rule.md describes them."""

    FILTER = 1
    BOOST = 2
    CAP = 3
    DIVERSIFY = 4

    @property
    def keeps_rows(self) -> bool:
        """Return whether its rules keep every row and give finite scores; those of other kinds remove rows and keep scores."""
        return self in (Kind.BOOST, Kind.DIVERSIFY)

    @property
    def yields_to_length(self) -> bool:
        """Return whether a list that would be shorter than k ignores its rules."""
        return self is Kind.CAP


@dataclass(frozen=True)
class RuleContext:
    """Input of the rules.

    items: model_items, row number = item_idx, with item_age_days added: days at as_of since the item came into being, or since
    its first event where that is not known; NaN when neither is. is_available is false also for what most who had it disliked.
    seen: history before as_of for the block's users, csr (n_users_in_block, n_items), sorted indices; row i belongs to users[i].
    users: user_idx of the block, sorted.
    disliked: what they had and did not like, of the same form; None for nothing.
    had: what no list of theirs may hold, of the same form; None: all that `seen` holds.
    vectors: content vectors of the items, rows of length 1 (or 0 when an item has no content), csr (n_items, n_terms).
    k: length of the published list.
    """

    items: pd.DataFrame
    seen: csr_array
    users: np.ndarray
    vectors: csr_array
    k: int
    as_of: datetime
    disliked: csr_array | None = None
    had: csr_array | None = None

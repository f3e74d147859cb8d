"""Margin: the earnings of a sale by the catalogue's column `margin`. A price is no margin, so an item without one has none."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.types import Doubles

if TYPE_CHECKING:
    import pandas as pd

DOC = "Earnings of a sale: core_items.margin."


def worth(items: pd.DataFrame, as_of: datetime) -> Doubles:
    """Return the margin; NaN without one."""
    return np.asarray(items["margin"].to_numpy(dtype=np.float64))

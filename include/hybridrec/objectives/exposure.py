"""Exposure for what few people have found: the worth falls with the logarithm of the number of users who had the item."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.types import Doubles

if TYPE_CHECKING:
    import pandas as pd

DOC = "Items that few have found: falls with the logarithm of their users."


def worth(items: pd.DataFrame, as_of: datetime) -> Doubles:
    """Return minus the logarithm of 1 + users."""
    return np.asarray(-np.log1p(items["n_users"].to_numpy(dtype=np.float64)))

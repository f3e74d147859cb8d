"""Newer items first: the worth falls with the logarithm of the age, so a week matters more for a new item than for an old one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.types import Doubles

if TYPE_CHECKING:
    import pandas as pd

DOC = "Newer items: falls with the logarithm of the age in days."


def worth(items: pd.DataFrame, as_of: datetime) -> Doubles:
    """Return minus the logarithm of 1 + age in days; NaN for an unknown age."""
    return np.asarray(-np.log1p(np.maximum(items["age_days"].to_numpy(dtype=np.float64), 0.0)))

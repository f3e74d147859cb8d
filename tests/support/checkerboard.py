"""A world of even and odd: a model that learns anything at all finds the withheld item."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.types import TrainingData, UserBlock

SIDE = 40  # users and items of the checkerboard
STRANGER = SIDE  # a user without history
NEW_ITEM = SIDE  # an item without events, of the even group
EVEN_ITEMS = np.arange(0, SIDE, 2)


@cache
def checkerboard() -> TrainingData:
    """Return choices in which user u has every item of u's parity apart from item u, so item u is what u must be offered first.

    One more user has no history, one more item no events.
    """
    users, items = np.mgrid[:SIDE, :SIDE]
    chosen = ((users + items) % 2 == 0) & (users != items)
    dense = np.zeros((SIDE + 1, SIDE + 1), dtype=np.float32)
    dense[:SIDE, :SIDE] = chosen
    matrix = csr_array(dense)
    age_days = 1 + (matrix.indices * 7 + np.repeat(np.arange(SIDE + 1), np.diff(matrix.indptr)) * 3) % 50
    numbers = np.arange(SIDE + 1)
    catalogue = pd.DataFrame(
        {
            "item_idx": numbers,
            "item_id": [f"i{n:02d}" for n in numbers],
            "title": ["Space rocket" if n % 2 == 0 else "Love letter" for n in numbers],
            "description": None,
            "categories": [["Sci-Fi"] if n % 2 == 0 else ["Romance"] for n in numbers],
            "brand": None,
            "provider": None,
            "price": np.full(SIDE + 1, np.nan, dtype=np.float32),
            "is_available": True,
            "is_promoted": False,
            "is_consumable": False,
            "released_at": pd.Series([pd.NaT] * (SIDE + 1), dtype="datetime64[us, UTC]"),
        }
    )
    ages = np.append(np.full(SIDE, 60), np.nan).astype(np.float32)
    people = pd.DataFrame(
        {
            "user_idx": numbers,
            "user_id": [f"u{n:02d}" for n in numbers],
            "age_years": pd.array([20 + n for n in numbers], dtype="Int32"),
            "gender": ["F" if n % 3 else "M" for n in numbers],
            "occupation": None,
            "region": [str(n % 4) for n in numbers],
        }
    )
    return TrainingData(matrix, age_days.astype(np.float64), catalogue, ages, people, seed=11, threads=1)


def block(data: TrainingData, users: np.ndarray) -> UserBlock:
    everybody = np.arange(data.matrix.shape[0], dtype=np.int32)
    return UserBlock(everybody, data.matrix, data.last_event_day.astype(np.float32)).take(users)

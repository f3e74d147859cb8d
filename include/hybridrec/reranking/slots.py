"""Places that hold an item drawn by chance, so that what is not shown by merit is shown at times, with a known probability.

The draw comes after filters and caps: each place gets one of the user's M rows that all rules have left and that no merit has placed, every
one with probability 1 / M. To count the rows before the filters is the classical fault: the logged probability is too small then, and every
estimate that divides by it too large. So the probabilities are compared with the rows that were there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.groups import starts_of
from hybridrec.exploration.chance import uniforms
from hybridrec.types import Doubles, Floats, Longs


class Slots(NamedTuple):
    """Places where items are drawn, and salts of the hash. positions: 0 is the first, rising, below k; salts: of options, and as_of."""

    positions: tuple[int, ...]
    salts: tuple[str, str]

    def within(self, k: int) -> Slots | None:
        """Return those of a list of k items; None if there are none."""
        positions = tuple(position for position in self.positions if position < k)
        return self._replace(positions=positions) if positions else None


class Explored(NamedTuple):
    """Rows in their new order, and the probability of each at its place: float32 (n_rows,), 1 where nothing was drawn."""

    rows: pd.DataFrame
    probabilities: Floats


def explore(kept: pd.DataFrame, user_ids: NDArray[np.object_], k: int, slots: Slots) -> Explored:
    """Draw the items of the slots and move them there; a drawn row takes the score of the row above it, so that scores still fall.

    kept: user_idx, item_idx, score of the rows that all rules have left, by user, best first. user_ids: of each row. A user with no more
    rows left than slots keeps the list: all of them are shown anyway.
    """
    starts = starts_of(kept["user_idx"].to_numpy())
    pools = np.diff(starts) - (k - len(slots.positions))  # rows that no merit places
    places, probabilities = _places(len(kept), starts, k, slots.positions), np.ones(len(kept), dtype=np.float32)
    exploring = np.flatnonzero(pools > len(slots.positions))
    drawn = _drawn(user_ids[starts[:-1]][exploring], pools[exploring], slots)  # (n_users, n_slots), position in the pool
    first_of_pool = starts[:-1][exploring] + k - len(slots.positions)
    rows = np.arange(len(kept))
    still = np.repeat(pools <= len(slots.positions), np.diff(starts))
    places[still] = (rows - np.repeat(starts[:-1], np.diff(starts)))[still]
    for column, position in enumerate(slots.positions):
        at = first_of_pool + drawn[:, column]
        places[at], probabilities[at] = position, 1 / pools[exploring]
    order = np.lexsort((places, kept["user_idx"].to_numpy()))
    scores = kept["score"].to_numpy()[order]
    for position in slots.positions:
        at = starts[:-1][exploring] + position
        scores[at] = scores[at - 1] if position else kept["score"].to_numpy()[starts[:-1][exploring]]
    return Explored(kept.take(order).assign(score=scores).reset_index(drop=True), probabilities[order])


def require_support(kept: pd.DataFrame, explored: Explored, k: int, slots: Slots) -> None:
    """Raise PermanentError unless what was drawn is of the rows that the rules have left, and its probability 1 / their number."""
    pairs = pd.MultiIndex.from_frame(kept[["user_idx", "item_idx"]])
    drawn = explored.probabilities < 1
    rows = explored.rows[drawn]
    n_left = kept["user_idx"].value_counts().reindex(rows["user_idx"], fill_value=0).to_numpy() - (k - len(slots.positions))
    expected = (1 / np.maximum(n_left, 1)).astype(np.float32)
    wrong = (explored.probabilities[drawn] != expected) | ~pd.MultiIndex.from_frame(rows[["user_idx", "item_idx"]]).isin(pairs)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        user, item = rows["user_idx"].to_numpy()[at], rows["item_idx"].to_numpy()[at]
        raise PermanentError(
            f"exploration: item {item} of user {user} has the probability {explored.probabilities[drawn][at]:.4g}, but the rules have left "
            f"{n_left[at]} rows to draw from: draw after filters and caps, or no estimate can be believed"
        )


def _places(n_rows: int, starts: Longs, k: int, positions: tuple[int, ...]) -> Longs:
    """Return the place of each row by merit: the best rows fill all places but the slots, the others come behind the list."""
    merit = np.array([place for place in range(k) if place not in positions], dtype=np.int64)
    rank = np.arange(n_rows) - np.repeat(starts[:-1], np.diff(starts))
    return np.where(rank < len(merit), merit[np.minimum(rank, len(merit) - 1)], k + rank) if len(merit) else k + rank


def _drawn(user_ids: NDArray[np.object_], pools: Longs, slots: Slots) -> Longs:
    """Return which row of its pool each place of each user gets, without repeats; int64 (n_users, n_slots)."""
    drawn = np.zeros((len(user_ids), len(slots.positions)), dtype=np.int64)
    for column, position in enumerate(slots.positions):
        chances: Doubles = uniforms(user_ids, *slots.salts, f"place {position + 1}")
        number = (chances * (pools - column)).astype(np.int64)
        for before in np.sort(drawn[:, :column], axis=1).T:  # the number counts the rows that are left
            number += number >= before
        drawn[:, column] = number
    return drawn

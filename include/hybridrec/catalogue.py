"""Which items a fold may recommend: those that existed before its cut, as far as anybody can tell.

A catalogue is what stands in it today. Items that came into it later than a fold's cut, because somebody turned to them
then, would be candidates without history of which every single one finds its user: a ranker that is taught so lifts
whatever has no history, and fails on the real night, where most of such items find nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hybridrec.run import Run

SEED_OFFSET = 17


def known_items(run: Run, fold: str) -> NDArray[np.bool_]:
    """Items that existed before the fold's cut, bool (n_items,); all of them where nothing is known of time.

    An item existed from its release or its first event on, whichever is earlier. Of those without a release date and
    without an event before the cut nobody knows; so many of them count as existing, drawn by seed, as there are without
    any event on fold final, where the catalogue is what it is.
    """
    items = run.read("model_items", columns=["item_idx", "released_at", "first_event_at"]).sort_by("item_idx")
    if run.config.split != "time":
        return np.ones(items.num_rows, dtype=bool)
    cut = np.datetime64(run.fold(fold).cut.replace(tzinfo=None), "us")
    released, first = (items[name].cast("timestamp[us]").to_numpy() for name in ("released_at", "first_event_at"))
    known: NDArray[np.bool_] = (released < cut) | (first < cut)  # comparisons with a missing time are False
    undated = ~known & np.isnat(released)
    n_without_events, n_undated = int((undated & np.isnat(first)).sum()), int(undated.sum())
    draws = np.random.default_rng(run.config.seed + SEED_OFFSET).random(len(known))
    drawn: NDArray[np.bool_] = undated & (draws * n_undated < n_without_events)
    return known | drawn

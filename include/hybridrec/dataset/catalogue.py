"""What a split may know of the catalogue, which is delivered as it stands today.

Items that came into it later than a split's cut, because somebody turned to them then, would be candidates without
history of which every single one finds its user: a ranker that is taught so lifts whatever has no history, and fails on
the real night, where most of such items find nobody. So a split may recommend what existed before its cut.

Categories can know the future too: where they are tags that users give, an item carries those of the users who turned
to it behind the cut, and leads straight to them. Nothing says when a category came, but it shows: of items with
equally many users before the cut those with users behind it have more categories. Then models do without.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)
Counts = NDArray[np.integer]
SEED_OFFSET = 17
MAX_EXCESS = 0.1  # of categories: a catalogue of films had 2 to 5 %, of toys none, of tags 16 to 38 %
SURE = 4.0  # standard errors of the difference


def candidate_items(run: Run, split: str) -> NDArray[np.bool_]:
    """Items that existed before the split's cut, bool (n_items,); all of them where nothing is known of time.

    An item existed from its release or its first event on, whichever is earlier. Of those without a release date and
    without an event before the cut nobody knows; so many of them count as existing, drawn by seed, as there are without
    any event on the full split, where the catalogue is what it is.
    """
    items = run.read("model_items", columns=["item_idx", "released_at", "first_event_at"]).sort_by("item_idx")
    if run.config.split != "time":
        return np.ones(items.num_rows, dtype=bool)
    cut = np.datetime64(run.split(split).cut.replace(tzinfo=None), "us")
    released, first = (items[name].cast("timestamp[us]").to_numpy() for name in ("released_at", "first_event_at"))
    known: NDArray[np.bool_] = (released < cut) | (first < cut)  # comparisons with a missing time are False
    undated = ~known & np.isnat(released)
    n_without_events, n_undated = int((undated & np.isnat(first)).sum()), int(undated.sum())
    draws = np.random.default_rng(run.config.seed + SEED_OFFSET).random(len(known))
    drawn: NDArray[np.bool_] = undated & (draws * n_undated < n_without_events)
    return known | drawn


class Excess(NamedTuple):
    """How many more categories items with users behind the cut have, as a share, and that in standard errors."""

    share: float
    standard_errors: float

    @property
    def is_leak(self) -> bool:
        """Whether users behind the cut must have given them."""
        return self.share > MAX_EXCESS and self.standard_errors > SURE


def category_excess(n_categories: Counts, n_before: Counts, n_behind: Counts) -> Excess:
    """Categories of items with users behind the cut against those without, between items of equally many users before it.

    All (n_items,): categories, users before the cut, users behind it. Items without users before the cut say nothing:
    whatever is never chosen may be described badly.
    """
    difference = expected = variance = 0.0
    half_octaves = np.floor(2 * np.log2(np.maximum(n_before, 1)))
    for half_octave in np.unique(half_octaves[n_before > 0]):
        alike = (n_before > 0) & (half_octaves == half_octave)
        present, missed = (n_categories[alike & chosen].astype(np.float64) for chosen in (n_behind > 0, n_behind == 0))
        if min(len(present), len(missed)) < 2:
            continue
        weight = len(present) * len(missed) / (len(present) + len(missed))
        difference += weight * (present.mean() - missed.mean())
        expected += weight * missed.mean()
        variance += weight**2 * (present.var(ddof=1) / len(present) + missed.var(ddof=1) / len(missed))
    return Excess(difference / expected if expected else 0.0, difference / np.sqrt(variance) if variance else 0.0)


def keep_learnt_categories(run: Run) -> None:
    """Empty the learnt_categories of model_items where they know who turned to an item behind the cut of the holdout split."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = run.read("model_items").sort_by("item_idx")
    n_categories = pc.fill_null(pc.list_value_length(items["categories"]), 0).to_numpy()
    n_before, n_behind = (_pairs_of_items(run, name, len(n_categories)) for name in ("model_interactions", "model_labels"))
    excess = category_excess(n_categories, n_before, n_behind)
    if not excess.is_leak:
        return
    text = "items with users behind the cut have %.0f %% more categories than others of as many users before it: models do without them"
    log.warning(text, 100 * excess.share)
    column = items.column_names.index("learnt_categories")
    none = pa.array([[]] * items.num_rows, items.schema.field(column).type)
    run.write("model_items", items.set_column(column, items.schema.field(column), none))


def _pairs_of_items(run: Run, name: str, n_items: int) -> Counts:
    """Pairs of each item in a table of the holdout split, batch by batch: there are as many as events."""
    import pyarrow.dataset as ds

    counts = np.zeros(n_items, dtype=np.int64)
    for batch in ds.dataset(run.files(name, "holdout"), format="parquet", partitioning=None).to_batches(columns=["item_idx"]):
        counts += np.bincount(batch["item_idx"].to_numpy(), minlength=n_items)
    return counts

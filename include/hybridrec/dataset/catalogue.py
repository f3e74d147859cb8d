"""Restrict the catalogue, which is delivered as it is today, to the knowledge of a split.

Items that were added after a split's cut, because a user chose them then, would be candidates without history that all have a user. A
ranker that learns from them raises items without history, and fails in production, where most of such items have no user. So a split may
recommend what existed before its cut.

Categories can depend on the future too: if they are tags that users give, an item has the tags of users who chose it after the cut.
Nothing says when a category came, but it shows: of items with equally many users before the cut those with users behind it have more
categories. Then models do without.
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
    """Return items that existed before the split's cut, bool (n_items,); all of them where nothing is known of time.

    An item existed from its release or its first event on, whichever is earlier. For items without a release date and without an event
    before the cut it is unknown. A number of them, drawn by seed, counts as existing: as many as have no event on the full split, whose
    catalogue is complete.
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
    """Share of additional categories of items with users after the cut, and the same in standard errors."""

    share: float
    standard_errors: float

    @property
    def is_leak(self) -> bool:
        """Whether users after the cut must have given them."""
        return self.share > MAX_EXCESS and self.standard_errors > SURE


def category_excess(n_categories: Counts, n_before: Counts, n_behind: Counts) -> Excess:
    """Compare categories of items with and without users after the cut, among items of equally many users before it.

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
    """Empty the learnt_categories of model_items if they reveal users after the cut of the holdout split."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = run.read("model_items").sort_by("item_idx")
    n_categories = pc.fill_null(pc.list_value_length(items["categories"]), 0).to_numpy()
    n_before, n_behind = (_pairs_of_items(run, name, len(n_categories)) for name in ("model_interactions", "model_labels"))
    excess = category_excess(n_categories, n_before, n_behind)
    if not excess.is_leak:
        return
    text = "items with users after the cut have %.0f %% more categories than others of as many users before it: models ignore categories"
    log.warning(text, 100 * excess.share)
    column = items.column_names.index("learnt_categories")
    none = pa.array([[]] * items.num_rows, items.schema.field(column).type)
    run.write("model_items", items.set_column(column, items.schema.field(column), none))


def _pairs_of_items(run: Run, name: str, n_items: int) -> Counts:
    """Return pairs of each item in a table of the holdout split, batch by batch: there are as many as events."""
    import pyarrow.dataset as ds

    counts = np.zeros(n_items, dtype=np.int64)
    for batch in ds.dataset(run.files(name, "holdout"), format="parquet", partitioning=None).to_batches(columns=["item_idx"]):
        counts += np.bincount(batch["item_idx"].to_numpy(), minlength=n_items)
    return counts

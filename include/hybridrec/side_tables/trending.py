"""Items on the rise: events lately over those that the time before makes expect, both smoothed.

The length of "lately" depends on the data: news rise for hours, a shop's articles for weeks. So the window is chosen on held-out time: the
one whose lists find most of the events beyond expectation that come next.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.splitting.likes import is_positive
from hybridrec.tables import table
from hybridrec.types import Doubles, Longs

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.base.config import Config
    from hybridrec.runs.run import Run

WINDOWS = (1, 3, 6, 24, 72, 168, 336, 672)  # hours
BEFORE = 4  # times the window is looked at before it, for what is expected
SMOOTHING = 5.0  # events added to both, so that two events after none are no sensation
PUBLISHED_ITEMS = 200
MAX_TIMES = 14  # points of held-out time at which windows are judged
HOURS_OF_DAY = 24
HOUR_MICROS = 3_600_000_000
JUDGED_DEPTH = 20
MAX_SPAN_HOURS = 60 * 24  # of held-out time that is looked at
MERGED_EVENTS = 2_000_000  # are held before they are added up


class HourCounts(NamedTuple):
    """Events by item and hour. items: int32 (n,), hours: int64 (n,), before the end, 0 is the newest; counts: int64 (n,)."""

    items: NDArray[np.int32]
    hours: Longs
    counts: Longs
    n_items: int

    def within(self, first: int, last: int) -> Doubles:
        """Return events of each item in the hours from first to before last, counted back from the end; float64 (n_items,)."""
        kept = (self.hours >= first) & (self.hours < last)
        return np.bincount(self.items[kept], self.counts[kept], self.n_items).astype(np.float64)


class Rise(NamedTuple):
    """Events of a window and those expected, float64 (n_items,), and the window in hours."""

    events: Doubles
    expected: Doubles
    window: int

    @property
    def ratio(self) -> Doubles:
        """Both smoothed, one over the other."""
        return (self.events + SMOOTHING) / (self.expected + SMOOTHING)


def hour_counts(files: Iterable[str], config: Config, item_ids: pa.Array, end: datetime, hours: int) -> HourCounts:
    """Count the positive events of the hours before the end; a batch of core_events at a time, memory grows with items and hours."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    at = pc.field("event_at")
    wanted = is_positive(config) & (at < pa.scalar(end)) & (at >= pa.scalar(end - timedelta(hours=hours)))
    last, merged = int(end.timestamp() * 1e6), (np.zeros(0, np.int64), np.zeros(0, np.int64))
    waiting: list[Longs] = []
    for batch in ds.dataset(list(files)).scanner(columns=["item_id", "event_at"], filter=wanted).to_batches():
        found = pc.index_in(batch.column("item_id"), value_set=item_ids)
        known = found.is_valid().to_numpy(zero_copy_only=False)
        hour = (last - 1 - batch.column("event_at").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()) // HOUR_MICROS
        waiting.append(found.drop_null().to_numpy().astype(np.int64) * hours + hour[known])
        if sum(map(len, waiting)) > max(MERGED_EVENTS, len(merged[0])):
            merged, waiting = _merged(*merged, waiting), []
    keys, counts = _merged(*merged, waiting)
    return HourCounts((keys // hours).astype(np.int32), keys % hours, counts, len(item_ids))


def _merged(keys: Longs, counts: Longs, new: list[Longs]) -> tuple[Longs, Longs]:
    """Return counts by key after further events."""
    distinct, position = np.unique(np.concatenate([keys, *new]), return_inverse=True)
    ones = np.ones(sum(map(len, new)), np.int64)
    return distinct, np.bincount(position, np.concatenate([counts, ones]), len(distinct)).astype(np.int64)


def rise(counts: HourCounts, end: int, window: int) -> Rise:
    """Return the rise in the window before a time. end: hours from that time to the end of the counts."""
    events = counts.within(end, end + window)
    before = counts.within(end + window, end + window * (1 + BEFORE))
    whole = before.sum()
    expected = before * (events.sum() / whole) if whole else np.zeros_like(before)  # of as many events as the window has
    return Rise(events, expected, window)


def best_first(score: Doubles, events: Doubles, available: NDArray[np.bool_], k: int) -> NDArray[np.intp]:
    """Return the k best available items that have an event; ties by events, then by item."""
    there = np.flatnonzero(available & (events > 0))
    return there[np.lexsort((there, -events[there], -score[there]))][:k]


class Judged(NamedTuple):
    """Shares of the coming rise that lists hold, float64 (n_times,) by window, and those of the popular items."""

    by_window: dict[int, Doubles]
    popular: Doubles


def judge_windows(counts: HourCounts, span: int, known: int) -> Judged:
    """Return how much of what rises next each window's list finds, at some times of the newest `span` hours.

    span: hours of held-out time. known: hours of history before it. A list's value is the discounted sum of the events beyond expectation
    that its items get in the hours that follow, as a share of the best list's; those hours are a quarter of the span, an hour to a week.
    """
    ahead = int(np.clip(span // 4, 1, 168))
    times = np.unique(np.linspace(ahead, span, min(MAX_TIMES, max(1, (span - ahead) // max(1, min(ahead, HOURS_OF_DAY)))), dtype=np.int64))
    windows = [window for window in WINDOWS if window * (1 + BEFORE) <= known] or [WINDOWS[0]]
    everything = np.ones(counts.n_items, bool)
    by_window: dict[int, list[float]] = {window: [] for window in windows}
    popular: list[float] = []
    for time in times.tolist():
        coming, past = counts.within(time - ahead, time), counts.within(time, time + min(known, WINDOWS[-1]))
        gains = np.maximum(coming - past * (coming.sum() / max(past.sum(), 1.0)), 0.0)
        if not gains.any():
            continue
        for window in windows:
            of_window = rise(counts, time, window)
            by_window[window].append(_share(gains, best_first(of_window.ratio, of_window.events, everything, JUDGED_DEPTH)))
        popular.append(_share(gains, best_first(past, past, everything, JUDGED_DEPTH)))
    return Judged({window: np.array(values) for window, values in by_window.items()}, np.array(popular))


def _share(gains: Doubles, items: NDArray[np.intp]) -> float:
    discount = 1 / np.log2(np.arange(2, JUDGED_DEPTH + 2))
    ideal = np.sort(gains)[::-1][:JUDGED_DEPTH]
    return float((gains[items] * discount[: len(items)]).sum() / (ideal * discount[: len(ideal)]).sum())


def of_run(run: Run) -> tuple[HourCounts, int, int]:
    """Return a run's counts, the hours of held-out time, and those of the history before it."""
    import pyarrow as pa

    items = run.read("model_items", columns=["item_idx", "item_id"]).sort_by("item_idx")["item_id"].combine_chunks()
    end, cut = run.manifest.as_of, run.split("holdout").cut
    span = int(min((end - cut) / timedelta(hours=1), MAX_SPAN_HOURS))
    hours = span + WINDOWS[-1] * (1 + BEFORE)
    counts = hour_counts(run.files("core_events"), run.config, items.cast(pa.string()), end, hours)
    known = int(counts.hours.max(initial=0)) - span
    return counts, max(span, 1), max(known, 1)


def chosen_window(judged: Judged) -> int:
    """Return the window whose lists hold most, the longer one of equals."""
    means = {window: float(values.mean()) if len(values) else 0.0 for window, values in judged.by_window.items()}
    return max(means, key=lambda window: (means[window], window))


def chosen_elsewhere(judged: Judged) -> Doubles:
    """Return what the lists find at each time with the window that is best at all other times, float64 (n_times,)."""
    windows = sorted(judged.by_window)
    values = np.stack([judged.by_window[window] for window in windows])  # (n_windows, n_times)
    others = values.sum(axis=1, keepdims=True) - values
    best = len(windows) - 1 - others[::-1].argmax(axis=0)  # the longer one of equals
    return np.asarray(np.take_along_axis(values, best[None], axis=0)[0])


def trending_items(of_window: Rise, items: pd.DataFrame) -> pa.Table:
    """Return out_trending: the available items with more events than expected."""
    import pyarrow as pa

    best = best_first(of_window.ratio, of_window.events, items["is_available"].to_numpy(dtype=bool), PUBLISHED_ITEMS)
    best = best[of_window.ratio[best] > 1]
    columns = {
        "rank": np.arange(1, len(best) + 1, dtype=np.int32),
        "item_id": pa.array(items["item_id"].to_numpy()[best], pa.string()),
        "score": of_window.ratio[best].astype(np.float32),
        "n_events": of_window.events[best].astype(np.int32),
        "n_expected": of_window.expected[best].astype(np.float32),
        "window_days": np.full(len(best), of_window.window / HOURS_OF_DAY, np.float32),
    }
    return table("out_trending").conform(pa.table(columns))

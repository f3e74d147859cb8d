"""Cut time into the three splits of a run, from the number of positive events per hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import Split
from hybridrec.splitting.likes import is_positive

if TYPE_CHECKING:
    import pandas as pd

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Hours = NDArray[np.int64]
KNOWN_SHARE = 0.2  # of the users with a history; more of them need not come back within a label window
MERGED_ROWS = 500_000
WIDEST = 2.0  # label windows, where few of them do


class Spans(NamedTuple):
    """First and last hours, since 1970, with positive events of users before some end, sorted each by itself.

    every: they are of one user in so many.
    """

    first: Hours
    last: Hours
    every: int

    def known(self, cuts: Hours) -> Hours:
        """Return the number of users with events both before each cut and after it."""
        return np.asarray(self.every * (np.searchsorted(self.first, cuts) - np.searchsorted(self.last, cuts)), dtype=np.int64)


def positive_events_per_hour(files: Iterable[str], config: Config) -> tuple[Hours, Hours]:
    """Return hours since 1970 in which something positive happened, ascending, and the number of such events in each.

    Streams one column of core_events in batches: memory grows with the hours, not with the events.
    """
    scanner = ds.dataset(list(files)).scanner(columns=["event_at"], filter=is_positive(config))
    counts: dict[int, int] = {}
    for batch in scanner.to_batches():
        hours = np.asarray(batch.column(0).cast(pa.int64())) // 3_600_000_000
        for hour, count in zip(*np.unique(hours, return_counts=True), strict=True):
            counts[int(hour)] = counts.get(int(hour), 0) + int(count)
    hours = np.array(sorted(counts), dtype=np.int64)
    return hours, np.array([counts[hour] for hour in hours.tolist()], dtype=np.int64)


def user_spans(files: Iterable[str], config: Config, end: datetime, every: int) -> Spans:
    """Return the spans of one user in `every`, drawn by a hash of the id: memory grows with these users, not with the events."""
    import pandas as pd
    import pyarrow.compute as pc

    wanted = is_positive(config) & (pc.field("event_at") < pa.scalar(end))
    parts: list[pd.DataFrame] = []
    waiting = merged = 0  # rows that came since the last merge, and rows that it left
    for batch in ds.dataset(list(files)).scanner(columns=["user_id", "event_at"], filter=wanted).to_batches():
        hours = np.asarray(batch.column(1).cast(pa.int64())) // 3_600_000_000
        part = pd.DataFrame({"user_id": batch.column(0).to_pandas(), "first": hours, "last": hours})
        part = part[pd.util.hash_array(part["user_id"].to_numpy()) % np.uint64(every) == 0] if every > 1 else part
        parts.append(part)
        waiting += len(part)
        if waiting > max(merged, MERGED_ROWS):  # each row is merged a few times, however many batches there are
            parts = [_merged(parts)]
            waiting, merged = 0, len(parts[0])
    if not parts:
        return Spans(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), every)
    found = _merged(parts)
    return Spans(np.sort(found["first"].to_numpy()), np.sort(found["last"].to_numpy()), every)


def _merged(parts: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    found: pd.DataFrame = pd.concat(parts, ignore_index=True).groupby("user_id", as_index=False).agg({"first": "min", "last": "max"})
    return found


def cut_splits(
    hours: Hours, counts: Hours, as_of: datetime, config: Config, spans: Callable[[datetime], Spans] | None = None
) -> dict[str, Split]:
    """Return the splits ranker, holdout and full; a label window is the newest `label_share` of what is left, at most label_days_max.

    The limit in days is dropped if it would leave fewer than min_label_events: with too few labels nothing is learnt. The window begins
    earlier if it has fewer than min_label_users users with a history: most users of a window may be newcomers.

    spans: gives users' spans before an end; None leaves the windows as the events cut them.

    hours, counts: positive events per hour before as_of. PermanentError when the events span too little time for three splits.
    """
    if not len(hours):
        raise _nothing_counts(as_of, config)
    if config.split != "time":  # the labels are not those after a cut: see hybridrec.splitting.held_out
        return {"ranker": Split("ranker", as_of, as_of), "holdout": Split("holdout", as_of, as_of), "full": Split("full", as_of, None)}
    label_cut = _label_start(hours, counts, as_of, config, spans)
    earlier = hours < _hour(label_cut)
    rank_cut = _label_start(hours[earlier], counts[earlier], label_cut, config, spans)
    if not (hours < _hour(rank_cut)).any():
        raise PermanentError(
            f"core_events: nothing before {rank_cut:%Y-%m-%d %H:%M} to train the ranker split on, of {counts.sum()} positive events up to "
            f"{as_of:%Y-%m-%d %H:%M}; three splits need events in at least three different hours: load more history or move as_of"
        )
    return {
        "ranker": Split("ranker", rank_cut, label_cut),
        "holdout": Split("holdout", label_cut, as_of),
        "full": Split("full", as_of, None),
    }


def _label_start(hours: Hours, counts: Hours, end: datetime, config: Config, spans: Callable[[datetime], Spans] | None) -> datetime:
    if not len(hours):
        raise _nothing_counts(end, config)
    before = np.cumsum(counts)
    by_share = _hour_of(hours, before, before[-1] * (1.0 - config.label_share))
    by_events = _hour_of(hours, before, before[-1] - config.min_label_events)
    limit = _hour(end - timedelta(days=config.label_days_max))
    start = max(by_share, min(limit, by_events))
    if spans is not None:
        earliest = _hour_of(hours, before, before[-1] * (1.0 - WIDEST * config.label_share))
        start = _with_known_users(start, hours[(hours >= earliest) & (hours <= start)][::-1], spans(end), config)
    return EPOCH + start * HOUR


def _with_known_users(start: int, starts: Hours, spans: Spans, config: Config) -> int:
    """Return the first of some starts, latest first, whose window has users enough with a history; else the one that has most."""
    known = spans.known(starts)
    wanted = min(config.min_label_users, KNOWN_SHARE * spans.every * int(np.searchsorted(spans.first, start)))
    enough = known >= wanted
    return int(starts[enough.argmax() if enough.any() else known.argmax()]) if len(starts) else start


def _nothing_counts(end: datetime, config: Config) -> PermanentError:
    positive = ", ".join(name for name, weight in config.event_weights.items() if weight > 0)
    return PermanentError(
        f"core_events: no positive event before {end:%Y-%m-%d %H:%M}; load more history, move as_of, or correct event_type: "
        f"only types with a weight above 0 in [night] event_weights ({positive}) show interest"
    )


def _hour_of(hours: Hours, before: Hours, n_events: float) -> int:
    """Return the hour in which the n-th event happened."""
    return int(hours[min(int(np.searchsorted(before, n_events)), len(hours) - 1)])


def _hour(at: datetime) -> int:
    return int((at - EPOCH) // HOUR)

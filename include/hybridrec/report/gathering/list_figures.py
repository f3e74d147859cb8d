"""The published lists in numbers, read batch by batch: a list a user is never held for all users at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hybridrec.report.gathering.exposure import exposure
from hybridrec.report.list_facts import Exposure, Histogram, Lists, MostShown, SampleUser, ShownItem

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

BATCH_ROWS = 16_384
BINS = 24
SAMPLES = 3
HISTORY_SHOWN = 10


@dataclass
class Tally:
    """Counts from one pass over the lists. Ranges are (lowest, highest score) by strategy."""

    how: Counter[str] = field(default_factory=Counter)
    segment: Counter[str] = field(default_factory=Counter)
    strategy: Counter[str] = field(default_factory=Counter)
    shortfall: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


def describe_lists(run: Run) -> Lists:
    """Count, measure and sample out_recommendations; NotCommitted when there is none."""
    tally = _tally(run)
    catalogue = _catalogue(run)
    histories = _history_counts(run, len(catalogue.ids))
    return Lists(
        n_users=tally.how.total(),
        n_places=tally.items.total(),
        by_how=dict(sorted(tally.how.items())),
        by_segment=dict(sorted(tally.segment.items())),
        by_strategy=dict(sorted(tally.strategy.items())),
        by_shortfall=dict(sorted(tally.shortfall.items())),
        most_shown=_most_shown(tally, catalogue, histories),
        exposures=_exposures(tally, catalogue, histories),
        scores=_histograms(run, tally.ranges),
        samples=_samples(run, tally.segment, catalogue),
    )


def batches(run: Run, name: str, columns: list[str], part: str = "") -> Iterator[pa.RecordBatch]:
    """Yield a run's table in pieces, in the order of its files."""
    for path in run.files(name, part):
        yield from pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS, columns=columns)


def _tally(run: Run) -> Tally:
    tally = Tally()
    for batch in batches(run, "out_recommendations", ["item_ids", "scores", "reason", "segment", "strategy", "shortfall"]):
        for counter, name in ((tally.how, "reason"), (tally.segment, "segment"), (tally.strategy, "strategy")):
            _count(counter, batch.column(name))
        _count(tally.shortfall, batch.column("shortfall").drop_null())
        _count(tally.items, batch.column("item_ids").flatten())
        for strategy, scores, _ in _scores_by_strategy(batch):
            low, high = tally.ranges.get(strategy, (np.inf, -np.inf))
            tally.ranges[strategy] = (min(low, float(scores.min())), max(high, float(scores.max())))
    return tally


def _count(counter: Counter[str], column: pa.Array) -> None:
    for value in column.value_counts().to_pylist():
        counter[value["values"]] += value["counts"]


def _scores_by_strategy(batch: pa.RecordBatch) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield each strategy of the batch with its rows' finite scores and the scores of its rows' best items."""
    scores = batch.column("scores")
    lengths = pc.list_value_length(scores).fill_null(0).to_numpy(zero_copy_only=False)
    flat = scores.flatten().to_numpy(zero_copy_only=False)
    is_best = np.zeros(len(flat), dtype=bool)
    is_best[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    strategies = batch.column("strategy").to_numpy(zero_copy_only=False).astype(object)
    owner = np.repeat(strategies, lengths)
    for strategy in sorted(set(owner)):
        mine = (owner == strategy) & np.isfinite(flat)
        if mine.any():
            yield strategy, flat[mine], flat[mine & is_best]


def _histograms(run: Run, ranges: dict[str, tuple[float, float]]) -> tuple[Histogram, ...]:
    edges = {name: np.linspace(low, high if high > low else low + 1, BINS + 1) for name, (low, high) in ranges.items()}
    counts = {name: np.zeros((2, BINS), dtype=np.int64) for name in ranges}
    for batch in batches(run, "out_recommendations", ["scores", "strategy"]):
        for strategy, scores, best in _scores_by_strategy(batch):
            counts[strategy][0] += np.histogram(scores, edges[strategy])[0]
            counts[strategy][1] += np.histogram(best, edges[strategy])[0]
    return tuple(
        Histogram(name, tuple(np.round(edges[name], 6).tolist()), tuple(counts[name][0].tolist()), tuple(counts[name][1].tolist()))
        for name in sorted(ranges)
    )


@dataclass(frozen=True)
class _Catalogue:
    """ids: item_id by item_idx. is_available: may be shown. shown: what a person reads about an item."""

    ids: list[str]
    is_available: NDArray[np.bool_]
    shown: dict[str, ShownItem]


def _catalogue(run: Run) -> _Catalogue:
    rows = run.read("model_items", columns=["item_idx", "item_id", "title", "categories", "is_available"]).sort_by("item_idx")
    ids = rows.column("item_id").to_pylist()
    titles, categories = rows.column("title").to_pylist(), rows.column("categories").to_pylist()
    shown = {i: ShownItem(i, t or i, tuple(c or ())) for i, t, c in zip(ids, titles, categories, strict=True)}
    return _Catalogue(ids, rows.column("is_available").to_numpy(zero_copy_only=False), shown)


def _history_counts(run: Run, n_items: int) -> NDArray[np.int64]:
    """Count the users' histories with each item, int64 (n_items,)."""
    counts = np.zeros(n_items, dtype=np.int64)
    for batch in batches(run, "model_interactions", ["item_idx"], "full"):
        counts += np.bincount(batch.column("item_idx").to_numpy(), minlength=n_items)
    return counts


def _most_shown(tally: Tally, catalogue: _Catalogue, histories: NDArray[np.int64]) -> MostShown | None:
    """Return the item with the most entries, the first by id of equals; no list holds an item twice."""
    known = [(item, n) for item, n in tally.items.items() if item in catalogue.shown]
    if not known:
        return None
    item, n_lists = min(known, key=lambda pair: (-pair[1], pair[0]))
    return MostShown(item, catalogue.shown[item].title, n_lists, int(histories[catalogue.ids.index(item)]))


def _exposures(tally: Tally, catalogue: _Catalogue, histories: NDArray[np.int64]) -> tuple[Exposure, ...]:
    """Return the published lists beside what users turned to by themselves, over the available catalogue."""
    published = np.array([tally.items[item] for item in catalogue.ids], dtype=np.int64)
    offered = catalogue.is_available
    return (exposure("published lists", published[offered]), exposure("users' histories", histories[offered]))


def _samples(run: Run, segments: Counter[str], catalogue: _Catalogue) -> tuple[SampleUser, ...]:
    """Return a few users, spread over the segments; the same run always shows the same ones."""
    wanted = sample_positions(segments)
    passed: Counter[str] = Counter()
    rows = []
    columns = ["user_id", "item_ids", "scores", "reasons", "sources", "reason", "strategy", "segment", "shortfall"]
    for batch in batches(run, "out_recommendations", columns):
        names = batch.column("segment").to_numpy(zero_copy_only=False).astype(object)
        for segment in sorted(set(names)):
            indices = np.flatnonzero(names == segment)
            for position in wanted.get(segment, ()):
                if passed[segment] <= position < passed[segment] + len(indices):
                    rows.append(batch.slice(int(indices[position - passed[segment]]), 1).to_pylist()[0])
            passed[segment] += len(indices)
    histories = _histories(run, [row["user_id"] for row in rows], catalogue)
    order = {name: n for n, name in enumerate(wanted)}
    rows.sort(key=lambda row: (order[row["segment"]], row["user_id"]))
    return tuple(_sample(row, histories[row["user_id"]], catalogue) for row in rows)


def sample_positions(segments: Counter[str]) -> dict[str, tuple[int, ...]]:
    """Choose the rows to show of each segment: the middle one, and more of the largest segment up to SAMPLES."""
    present = [name for name in ("heavy", "light", "none") if segments[name]]
    if not present:
        return {}
    largest = max(present, key=lambda name: segments[name])
    extra = min(SAMPLES - len(present), segments[largest] - 1)
    shares = {name: 1 + (extra if name == largest else 0) for name in present}
    return {name: tuple(segments[name] * (2 * n + 1) // (2 * share) for n in range(share)) for name, share in shares.items()}


def _sample(row: dict[str, object], history: tuple[int, tuple[ShownItem, ...]], catalogue: _Catalogue) -> SampleUser:
    lists = [row[name] or [] for name in ("item_ids", "scores", "reasons", "sources")]
    items = []
    for item_id, score, reason, sources in zip(*lists, strict=True):
        known = catalogue.shown.get(item_id, ShownItem(item_id, item_id))
        items.append(ShownItem(item_id, known.title, known.categories, round(float(score), 5), reason, sources))
    texts = {name: str(row[name] or "") for name in ("user_id", "segment", "strategy", "reason", "shortfall")}
    return SampleUser(
        texts["user_id"], texts["segment"], texts["strategy"], texts["reason"], texts["shortfall"], history[0], history[1], tuple(items)
    )


def _histories(run: Run, user_ids: list[str], catalogue: _Catalogue) -> dict[str, tuple[int, tuple[ShownItem, ...]]]:
    """Return the length of each user's history and its newest items, newest first."""
    wanted_users = pa.concat_tables(
        pa.Table.from_batches([batch]).filter(pc.is_in(batch.column("user_id"), pa.array(user_ids, pa.string())))
        for batch in batches(run, "model_users", ["user_idx", "user_id"])
    ).to_pylist()
    rows = pa.concat_tables(
        pa.Table.from_batches([batch]).filter(
            pc.is_in(batch.column("user_idx"), pa.array([user["user_idx"] for user in wanted_users], pa.int32()))
        )
        for batch in batches(run, "model_interactions", ["user_idx", "item_idx", "last_event_at"], "full")
    ).sort_by([("last_event_at", "descending"), ("item_idx", "ascending")])
    histories = {}
    for user in wanted_users:
        items = rows.filter(pc.equal(rows.column("user_idx"), user["user_idx"])).column("item_idx").to_pylist()
        newest = tuple(catalogue.shown[catalogue.ids[item]] for item in items[:HISTORY_SHOWN])
        histories[user["user_id"]] = (len(items), newest)
    return histories

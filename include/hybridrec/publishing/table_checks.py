"""Check the tables besides the lists before they are published: rows that no reader may see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.versions.publications import LISTED, SIDE_TABLES, definition

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 5_000
FAULTS = {
    "unknown": "keys or entries that the run does not know",
    "repeated": "keys that occur twice, or entries twice in one list",
    "bad_scores": "scores that rise along a list or are no numbers, and lists whose arrays differ in length",
    "unavailable": "places with an item that is not available",
    "opted_out": "places with a user who opted out",
}


class Known(NamedTuple):
    """Ids of the run, and which of them may be in a list."""

    ids: pa.Array
    allowed: NDArray[np.bool_]


def faults(run: Run) -> dict[str, dict[str, int]]:
    """Return the faults of each table that the run has made: counts by kind, see FAULTS."""
    made = [name for name in SIDE_TABLES if store.is_committed(run.dataset(f"out_{name}"))]
    if not made:
        return {}
    items = run.read("model_items", columns=["item_idx", "item_id", "is_available"]).sort_by("item_idx")
    users = run.read("model_users").sort_by("user_idx")
    opted_out = users["opted_out"].to_numpy() if "opted_out" in users.column_names else np.zeros(len(users), bool)
    known = {
        "item": Known(items["item_id"].combine_chunks(), items["is_available"].to_numpy()),
        "user": Known(users["user_id"].combine_chunks(), ~opted_out),
    }
    return {name: _of_table(run, name, known) for name in made}


def _of_table(run: Run, name: str, known: dict[str, Known]) -> dict[str, int]:
    counts = dict.fromkeys(FAULTS, 0)
    keys = [_count(name, batch, known, counts) for batch in _batches(run, name)]
    counts["repeated"] += sum(map(len, keys)) - len(np.unique(np.concatenate([*keys, np.zeros(0, np.int64)])))
    counts.pop("unavailable" if LISTED.get(name) == "user_ids" else "opted_out")
    return counts


def _batches(run: Run, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in run.files(f"out_{name}"):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def _count(name: str, batch: pa.RecordBatch, known: dict[str, Known], counts: dict[str, int]) -> NDArray[np.int64]:
    """Add a batch's faults; returns its keys as numbers."""
    [key] = definition(name).key
    if name not in LISTED:  # trending: a row is an entry, its key a rank
        lengths = np.array([len(batch)])
        keys, ids, scores = np.asarray(batch.column(key), np.int64), batch.column("item_id"), batch.column("score")
    else:
        keys = _index(batch.column(key), known[key.removesuffix("_id")].ids)
        lists, of_scores = batch.column(LISTED[name]), batch.column("scores")
        lengths, ids, scores = _lengths(lists), lists.flatten(), of_scores.flatten()
        counts["unknown"] += int(np.count_nonzero(keys < 0))
        counts["bad_scores"] += int(np.count_nonzero(lengths != _lengths(of_scores)))
    entries = known["user" if LISTED.get(name) == "user_ids" else "item"]
    found = _index(ids, entries.ids)
    row = np.repeat(np.arange(len(lengths)), lengths)
    counts["unknown"] += int(np.count_nonzero(found < 0))
    counts["repeated"] += len(found) - np.unique(np.stack([row, found]), axis=1).shape[1]
    gone = int(np.count_nonzero(~entries.allowed[found[found >= 0]]))
    counts["unavailable"] += gone
    counts["opted_out"] += gone
    counts["bad_scores"] += _bad_scores(scores.to_numpy(zero_copy_only=False), row)
    return keys


def _bad_scores(scores: NDArray[np.floating], row: NDArray[np.int64]) -> int:
    broken = int(np.count_nonzero(~np.isfinite(scores)))
    if len(scores) == len(row):
        broken += int(np.count_nonzero((scores[1:] > scores[:-1]) & (row[1:] == row[:-1])))
    return broken


def _lengths(lists: pa.ListArray) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), np.int64)


def _index(values: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy(zero_copy_only=False), dtype=np.int64)

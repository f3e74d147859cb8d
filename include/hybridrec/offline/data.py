"""A folder with events, and perhaps items and users, in the form that the source `files` takes in."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.config import Split
from hybridrec.errors import BadData

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # the time of every event where nothing is known of time
PARTS = ("events", "items", "users")


def adapt(origin: Path, target: Path, split: Split) -> None:
    """Write origin/{events,items,users}.parquet to target with the columns that events need.

    event_type is rating where there is a rating, else purchase. Times are dropped with random_per_user and required otherwise.
    Items that only events name are added to the catalogue. BadData for a folder without events or without a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target.mkdir(parents=True, exist_ok=True)
    events = _typed_events(_read(origin, "events"), origin, split)
    pq.write_table(events, target / "events.parquet", compression="zstd")
    for part in ("items", "users"):
        if (origin / f"{part}.parquet").exists():
            key = f"{part[:-1]}_id"
            table = _read(origin, part)
            missing = pa.table({key: _missing(events[key], table[key].cast(pa.string()))})
            whole = pa.concat_tables([_with_text_key(table, key), missing], promote_options="default")
            pq.write_table(whole, target / f"{part}.parquet", compression="zstd")
    log.info("%s: %d events, split %s", origin, events.num_rows, split)


def _read(origin: Path, part: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = origin / f"{part}.parquet"
    if not path.exists():
        raise BadData(f"{path} does not exist; expected a folder with events.parquet and, if there are, items.parquet and users.parquet")
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadData(f"{path} cannot be read as Parquet: {error}; write it anew") from None


def _typed_events(events: pa.Table, origin: Path, split: Split) -> pa.Table:
    import pyarrow as pa

    needed = {"user_id", "item_id"} if split == "random_per_user" else {"user_id", "item_id", "event_at"}
    missing = sorted(needed - set(events.column_names))
    if missing:
        raise BadData(f"{origin / 'events.parquet'}: no column {', '.join(missing)}; split {split} needs {', '.join(sorted(needed))}")
    columns = {name: events[name].cast(pa.string()) for name in ("user_id", "item_id")}
    n_rows = events.num_rows
    has_rating = "rating" in events.column_names
    columns["event_type"] = pa.array(["rating" if has_rating else "purchase"], pa.string()).take(pa.array([0] * n_rows))
    if has_rating:
        columns["rating"] = events["rating"]
    columns["event_at"] = pa.array([SOME_DAY] * n_rows) if split == "random_per_user" else events["event_at"]
    return pa.table(columns)


def _missing(named: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.Array:
    import pyarrow.compute as pc

    unique = named.unique()
    return unique.filter(pc.invert(pc.is_in(unique, value_set=known.combine_chunks())))


def _with_text_key(table: pa.Table, key: str) -> pa.Table:
    import pyarrow as pa

    return table.set_column(table.column_names.index(key), key, table[key].cast(pa.string()))

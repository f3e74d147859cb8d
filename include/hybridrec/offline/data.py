"""A folder with events, and perhaps items and users, in the form that the source `files` takes in.

Files are read as `files` reads them, and ids, types of events and repeats stay as they came: ingest judges them as it
does every night. Only what a benchmark's data may lack is added: event_type, event_at, items that only events name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.config import SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.ingest.cleaning import read_raw
from hybridrec.sources import PARTS, files
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # the time of every event where nothing is known of time
NAMED = "named_by_events.parquet"


def adapt(origin: Path, target: Path, split: SplitMethod) -> None:
    """Write the events, items and users of origin to folders of Parquet files below target.

    An event without event_type is a rating where it has a rating, else a purchase. Times are dropped with random_per_user
    and required otherwise. PermanentError for a folder without events, a file that cannot be read or lacks a column.
    """
    for part in PARTS if origin.is_dir() else ():
        for number, blocks in enumerate(files.read_part(origin, part, _required(part, split))):
            _write(target / part / f"part-{number}.parquet", _completed(blocks, split) if part == "events" else blocks)
    if not _parts(target, "events"):
        raise PermanentError(
            f"{origin / 'events.parquet'} does not exist; expected a folder with events.parquet and, if there are, items.parquet "
            "and users.parquet; CSV and JSON lines will do as well"
        )


def add_named_by_events(spark: SparkSession, target: Path) -> None:
    """Add to the items and users in target, if it has any, those that only events name.

    Ingest would refuse such events; to a benchmark they are as good as others. Ids are compared as ingest spells them.
    """
    import pyarrow.parquet as pq

    events = read_raw(spark, _parts(target, "events"), table("core_events"))
    for part in ("items", "users"):
        if not _parts(target, part):
            continue
        key = f"{part[:-1]}_id"
        known = read_raw(spark, _parts(target, part), table(f"core_{part}")).where("_reason is null").select(key)
        named = events.where("_reason is null").select(key).distinct().join(known, key, "left_anti").toArrow()
        if named.num_rows:
            pq.write_table(named.sort_by(key), target / part / NAMED, compression="zstd")
            log.info("%d %s are only named by events", named.num_rows, part)


def _required(part: str, split: SplitMethod) -> tuple[str, ...]:
    """Return columns that a benchmark's files must have: what cannot be made up."""
    of_events = ("user_id", "item_id") if split == "random_per_user" else ("user_id", "item_id", "event_at")
    return of_events if part == "events" else files.REQUIRED[part]


def _completed(blocks: Iterator[pa.RecordBatch], split: SplitMethod) -> Iterator[pa.RecordBatch]:
    """Yield events with the columns event_type and event_at."""
    import pyarrow as pa

    for block in blocks:
        columns = {name: block[name] for name in block.schema.names}
        columns.setdefault("event_type", _event_type(block))
        if split == "random_per_user":
            columns["event_at"] = pa.array([SOME_DAY], pa.timestamp("us", tz="UTC")).take(_zeros(block.num_rows))
        yield pa.record_batch(columns)


def _event_type(block: pa.RecordBatch) -> pa.Array:
    """Return rating where an event has one, else purchase."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array(["purchase", "rating"])
    if "rating" not in block.schema.names:
        return names.take(_zeros(block.num_rows))
    return names.take(pc.invert(pc.is_null(block["rating"], nan_is_null=True)).cast(pa.int32()))


def _zeros(n: int) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(0, pa.int32()), n)


def _parts(target: Path, part: str) -> list[Path]:
    return sorted((target / part).glob("*.parquet"))


def _write(path: Path, blocks: Iterator[pa.RecordBatch]) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(blocks)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_batch(first)
        for block in blocks:
            writer.write_batch(block)

"""Core tables on storage: day folders of content-addressed files, replaced in one step.

A file is named by the hash of its bytes and rows are written in the order of the key, so a day whose content has not
changed keeps its file, and ingesting the same data again changes nothing.

    core_events/attempt-6f1c.../event_date=2026-01-31/8d2f....parquet
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.ingest.landing import count_rows
from hybridrec.storage import locks, shared_files, store
from hybridrec.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
KEEP_STATES = 2  # runs that were opened before the newest ingest still find their files


def replace_all(dataset: Path, table: Table, rows: DataFrame, made_from: str, checked: bool = False) -> store.Manifest:
    """Make rows the whole table; checked: once its check has accepted them. made_from: see store.Manifest."""
    with _only_writer(dataset):
        return _replace(dataset, rows.coalesce(1).sortWithinPartitions(*rows.columns), [], made_from, checked=checked)


def accept(dataset: Path, manifest: store.Manifest) -> None:
    """Make a pending state that has passed its check the table."""
    with _only_writer(dataset):
        store.accept(dataset, manifest, keep=KEEP_STATES)
        log.info("%s: %d rows have passed and are the table now", dataset.name, manifest.rows)


def merge_days(
    spark: SparkSession, dataset: Path, table: Table, rows: DataFrame, made_from: str, forgotten: DataFrame | None = None
) -> store.Manifest:
    """Merge events into the newest state of the table: new rows win over old ones of the same key, untouched days keep their files.

    The outcome is a pending state, which counts once its check has accepted it. Rows that a failed check has refused are in the newest
    state: they are added with the next accepted delivery. forgotten: user_id of those whose old rows go.
    made_from: see store.Manifest; it describes the last merge, which would change nothing if repeated.
    """
    column = table.partition_by[0]
    with _only_writer(dataset):
        old = _files_by_day(dataset)
        touched = _touched_days(spark, dataset, table, rows, forgotten)
        replaced = [dataset / file for day, files in old.items() if day in touched for file in files]
        before = [shared_files.spark_path(path) for path in shared_files.fetch(replaced)]
        if before:
            kept = spark.read.schema(table.spark_ddl()).parquet(*before).join(rows.select(*table.key), list(table.key), "left_anti")
            rows = rows.unionByName(kept if forgotten is None else kept.join(forgotten, "user_id", "left_anti").select(*kept.columns))
        carried = [file for day, files in old.items() if day not in touched for file in files]
        placed = rows.withColumn("day", rows[column]).repartition("day").sortWithinPartitions("day", *table.key)
        return _replace(dataset, placed, carried, made_from, column, checked=True)


def newest_rows(spark: SparkSession, dataset: Path, table: Table) -> DataFrame | None:
    """Return the table as it was written last, checked or not; None without any."""
    manifest = store.newest(dataset)
    if manifest is None or not manifest.files:
        return None
    files = [shared_files.spark_path(path) for path in shared_files.fetch(dataset / file for file in manifest.files)]
    return spark.read.schema(table.spark_ddl()).parquet(*files)


def _touched_days(spark: SparkSession, dataset: Path, table: Table, rows: DataFrame, forgotten: DataFrame | None) -> set[str]:
    """Return days of the new rows, and days that hold an older version of one of them or an event of a user who is to be deleted."""
    column = table.partition_by[0]
    days = rows.select(column)
    old = newest_rows(spark, dataset, table)
    if old is not None:
        days = days.union(old.join(rows.select(*table.key), list(table.key), "left_semi").select(column))
    if old is not None and forgotten is not None:
        days = days.union(old.join(forgotten, "user_id", "left_semi").select(column))
    return {_folder(column, row[0]) for row in days.distinct().collect()}


def _folder(column: str, day: date) -> str:
    return f"{column}={day.isoformat()}"


def _files_by_day(dataset: Path) -> dict[str, list[str]]:
    manifest = store.newest(dataset)
    days: dict[str, list[str]] = {}
    for file in manifest.files if manifest else ():
        days.setdefault(file.split("/")[1], []).append(file)
    return days


def _replace(dataset: Path, rows: DataFrame, carried: list[str], made_from: str, column: str = "", checked: bool = False) -> store.Manifest:
    """Make rows, by their `day` where a column is named, and the carried files the table, or, if it is checked first, its pending state."""
    with store.attempted(dataset) as attempt:
        manifest = _settle(dataset, _write(dataset, attempt, rows, column), carried, made_from)
        if checked:
            store.propose(dataset, manifest)
            return manifest
        store.commit(dataset, manifest, keep=KEEP_STATES)
        return store.read_manifest(dataset)


def _write(dataset: Path, attempt: Path, rows: DataFrame, column: str) -> list[str]:
    """Write into an attempt folder and name each file by its content; returns paths below the dataset."""
    by = ("day",) if column else ()
    try:
        rows.write.mode("overwrite").option("compression", "zstd").partitionBy(*by).parquet(shared_files.spark_path(attempt))
    except Exception as error:
        if "No space left on device" in str(error):  # Spark wraps it in its own exception
            raise OSError(errno.ENOSPC, "no space left on device", str(dataset)) from error
        raise
    shared_files.take_from_spark(attempt)
    files = [_address(dataset, attempt, file, column) for file in store.files_below(dataset, attempt)]
    for marker in [path for path in attempt.iterdir() if path.name[0] in "._"]:
        marker.unlink()  # Spark's checksums and success marker speak of names that are gone
    return files


def _address(dataset: Path, attempt: Path, file: str, column: str) -> str:
    """Rename `attempt/day=D/part-....parquet` to `attempt/<column>=D/<hash>.parquet`; the column stays in the file."""
    digest = store.hash_parquet(dataset / file)[:32]
    parent = (dataset / file).parent
    folder = attempt / parent.name.replace("day=", f"{column}=", 1) if column else attempt
    folder.mkdir(exist_ok=True)
    (dataset / file).rename(folder / f"{digest}.parquet")
    if column:
        shutil.rmtree(parent)
    return (folder / f"{digest}.parquet").relative_to(dataset).as_posix()


def _settle(dataset: Path, written: list[str], carried: list[str], made_from: str) -> store.Manifest:
    """Return the state of written and carried files; a file that is there already under an older attempt keeps its place."""
    current = store.read_manifest(dataset).files if store.is_committed(dataset) else ()
    waiting = store.pending(dataset)
    placed = {_content(file): file for file in (*(waiting.files if waiting else ()), *current)}
    files = tuple(sorted([placed.get(_content(file), file) for file in written] + carried, key=_content))  # by day
    _drop_unused(dataset, set(written) - set(files))
    if set(files) == set(current):
        log.info("%s: unchanged, %d files", dataset.name, len(files))
        return replace(store.read_manifest(dataset), made_from=made_from)
    rows = count_rows(shared_files.fetch(dataset / file for file in files))
    digest = hashlib.sha256("\n".join(sorted(map(_content, files))).encode()).hexdigest()
    log.info("%s: %d rows in %d files, %d of them new", dataset.name, rows, len(files), len(set(files) - set(current)))
    return store.Manifest(files, rows, digest, made_from=made_from)


def _content(file: str) -> str:
    """Return a file's path without the attempt: day and hash."""
    return file.split("/", 1)[1]


def _drop_unused(dataset: Path, files: set[str]) -> None:
    for file in files:
        (dataset / file).unlink()
    for attempt in {dataset / file.split("/")[0] for file in files}:
        if not any(attempt.rglob("*.parquet")):
            shutil.rmtree(attempt, ignore_errors=True)


def _only_writer(dataset: Path) -> AbstractContextManager[None]:
    """Allow one writer at a time: a merge reads the files that it replaces."""
    return locks.exclusive(dataset / ".lock")

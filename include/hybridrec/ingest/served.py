"""Take what has landed of the look-up's log: lists into core_served, events to those that a source delivers.

Lists become the table at once, since their lines are ours and were written by the look-up. Events are cleaned and checked together with
those of the source. Killed in between, an ingest takes the same lines again: none counts twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.settings import Settings
from hybridrec.feedback import judging, landing
from hybridrec.feedback.lines import EVENTS, SERVED
from hybridrec.ingest import partitions
from hybridrec.ingest.cleaning import FAULTS
from hybridrec.ingest.findings import Findings, write_findings
from hybridrec.ingest.landing import Landing
from hybridrec.storage import shared_files, store
from hybridrec.tables import table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
SERVED_TABLE, WAITING, FINDINGS = "core_served", "waiting_feedback", "feedback"
TWO_USERS, LISTS, EVENT_COUNT = "recommendations with two users", "lists", "events"
REPEATS, LOST, TORN, ORPHANS = "events that came again", "lost lines", "torn ends of files", "events of unknown recommendations"
CLICKS, ORPHAN_CLICKS = "clicks", "clicks of unknown recommendations"


@dataclass(frozen=True)
class Delivery:
    """A landing of the log, with the rules and the name of the outcome. forgotten: ids of users to be forgotten."""

    spark: SparkSession
    settings: Settings
    landed: Landing
    wait_days: int
    origin: str
    forgotten: DataFrame | None

    @property
    def warehouse(self) -> Path:
        """Folder of the source's tables."""
        return self.settings.warehouse(self.landed.source)

    def rows(self, part: str) -> DataFrame | None:
        """Return what has landed of a part of the log; None for nothing."""
        files = [shared_files.spark_path(path) for path in self.landed.files(part)]
        return self.spark.read.parquet(*files) if files else None

    def stored(self, name: str) -> DataFrame | None:
        """Return the newest state of a table; None without any."""
        return partitions.newest_rows(self.spark, self.warehouse / name, table(name))


@dataclass(frozen=True)
class Taken:
    """Events that were taken, as cleaning.read_raw returns a source's, and the judged ones that they are of, persisted."""

    events: DataFrame
    judged: DataFrame


def is_any(settings: Settings, landed: Landing) -> bool:
    """Return whether there is anything to take, or a list that may name a user to be forgotten."""
    warehouse = settings.warehouse(landed.source)
    return bool(parts(landed)) or landing.landed_log(landed.folder) is not None or store.is_committed(warehouse / SERVED_TABLE)


def parts(landed: Landing) -> dict[str, str]:
    """Return the hashes of what has landed of the log."""
    return {part: digest for part, digest in landed.content.items() if part in landing.ALL_PARTS}


def take(delivery: Delivery) -> Taken | None:
    """Add lists to core_served; return the events of them, or None if there are none."""
    _take_lists(delivery)
    landed = _with_waiting(delivery, delivery.rows(landing.EVENTS_PART))
    if landed is None:
        _write_findings(delivery, None, 0)
        return None
    if delivery.forgotten is not None:
        landed = landed.join(delivery.forgotten, "user_id", "left_anti").select(*landed.columns)
    if (foreign := delivery.rows(landing.FOREIGN_PART)) is not None:
        landed = landed.join(foreign, "recommendation_id", "left_anti").select(*landed.columns)
    served, empty = delivery.stored(SERVED_TABLE), delivery.spark.createDataFrame([], table(SERVED_TABLE).spark_ddl())
    judged = judging.judge_events(landed, empty if served is None else served, delivery.stored("core_events"), delivery.landed.landed_at)
    judged = judged.persist()
    _write_quarantine(delivery, judged)
    _write_findings(delivery, judged, landed.count())
    return Taken(_as_raw(judging.as_core_events(judged)), judged)


def settle(delivery: Delivery, taken: Taken | None) -> None:
    """Keep what waits, and how much of the log the tables hold now: the last step, once the events are in core_events."""
    if taken is not None:
        _keep_waiting(delivery, taken.judged)
    if (landed := landing.landed_log(delivery.landed.folder)) is not None:
        landing.keep_taken(delivery.settings, delivery.landed.source, landed)


def _take_lists(delivery: Delivery) -> None:
    from pyspark.sql import functions as F

    landed, stored, definition = delivery.rows(landing.SERVED_PART), delivery.stored(SERVED_TABLE), table(SERVED_TABLE)
    refused = [rows for part in (landing.UNREADABLE_PART,) if (rows := delivery.rows(part)) is not None]
    if landed is not None:
        if delivery.forgotten is not None:
            landed = landed.join(delivery.forgotten, "user_id", "left_anti").select(*landed.columns)
        if stored is not None:
            oldest = landed.agg(F.min(F.to_date("served_at"))).collect()[0][0]
            stored = stored.where(F.col("served_date") >= F.lit(oldest))
        judged = judging.judge_served(landed, stored, delivery.landed.landed_at).persist()
        row = F.to_json(F.struct(*definition.column_names)).alias("row")
        refused.append(
            judged.where("_reason is not null").select(F.col("_reason").alias("reason"), row, F.col("_file").alias("source_file"))
        )
        _merge(delivery, judged.where("_reason is null").select(*definition.column_names))
        judged.unpersist()
    elif delivery.forgotten is not None and stored is not None:
        _merge(delivery, stored.limit(0))
    quarantine = table("quarantine_core_served")
    folder = delivery.warehouse / quarantine.name
    if refused or store.is_committed(folder):
        rows = refused[0] if refused else delivery.spark.createDataFrame([], quarantine.spark_ddl())
        for more in refused[1:]:
            rows = rows.unionByName(more)
        partitions.replace_all(folder, quarantine, rows, delivery.origin)


def _merge(delivery: Delivery, rows: DataFrame) -> None:
    dataset = delivery.warehouse / SERVED_TABLE
    manifest = partitions.merge_days(delivery.spark, dataset, table(SERVED_TABLE), rows, delivery.origin, delivery.forgotten)
    partitions.accept(dataset, manifest)


def _with_waiting(delivery: Delivery, landed: DataFrame | None) -> DataFrame | None:
    """Return the landed events and those that have waited no longer than wait_days; None if there are none."""
    from pyspark.sql import functions as F

    columns = table(WAITING).column_names
    rows = None if landed is None else landed.withColumn("waiting_since", F.lit(None).cast("timestamp")).select(*columns)
    folder = delivery.warehouse / WAITING
    if not store.is_committed(folder) or not store.read_manifest(folder).rows:
        return rows
    oldest = judging.moment(delivery.landed.landed_at - timedelta(days=delivery.wait_days))
    files = [shared_files.spark_path(path) for path in store.committed_files(folder)]
    waiting = delivery.spark.read.schema(table(WAITING).spark_ddl()).parquet(*files).where(F.col("waiting_since") >= oldest)
    return waiting.select(*columns) if rows is None else rows.unionByName(waiting.select(*columns))


def _keep_waiting(delivery: Delivery, judged: DataFrame) -> None:
    from pyspark.sql import functions as F

    definition = table(WAITING)
    waits = judged.where(F.col("_reason").isin(*judging.WAITS) & F.lit(delivery.wait_days > 0))
    if waits.isEmpty() and not store.is_committed(delivery.warehouse / WAITING):
        return
    rows = waits.withColumn("waiting_since", F.coalesce("waiting_since", judging.moment(delivery.landed.landed_at)))
    partitions.replace_all(delivery.warehouse / WAITING, definition, rows.select(*definition.column_names), delivery.origin)


def _as_raw(events: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    internal = {"_row": F.lit(None).cast("string"), "_reason": F.lit(None).cast("string"), "_mended": F.array().cast(FAULTS)}
    return events.withColumns(internal)


def _write_quarantine(delivery: Delivery, judged: DataFrame) -> None:
    from pyspark.sql import functions as F

    quarantine = table("quarantine_feedback")
    columns = [name for name in table(WAITING).column_names if name not in ("waiting_since", "source_file")]
    row = F.to_json(F.struct(*columns)).alias("row")
    refused = judged.where("_reason is not null").select(F.col("_reason").alias("reason"), row, "source_file")
    partitions.replace_all(delivery.warehouse / quarantine.name, quarantine, refused, delivery.origin)


def _write_findings(delivery: Delivery, judged: DataFrame | None, n_landed: int) -> None:
    from pyspark.sql import functions as F

    taken = landing.landed_log(delivery.landed.folder)
    counts: dict[tuple[str, str], int] = {}
    if judged is not None:
        rows = judged.groupBy(F.coalesce("_reason", F.lit("")).alias("reason"), "event_type").count().collect()
        counts = {(row["reason"], row["event_type"]): row["count"] for row in rows}
    refused = dict[str, int]()
    for (reason, _), n in sorted(counts.items()):
        if reason:
            refused[reason] = refused.get(reason, 0) + n
    total = sum(counts.values())
    two_users = 0 if judged is None else judging.of_two_users(judged)
    notes = {
        LISTS: taken.lines.get(SERVED, 0) if taken else 0,
        EVENT_COUNT: taken.lines.get(EVENTS, 0) if taken else 0,
        REPEATS: n_landed - total,
        LOST: sum(taken.lost.values()) if taken else 0,
        TORN: taken.torn if taken else 0,
        TWO_USERS: two_users,
        ORPHANS: refused.get(judging.UNKNOWN, 0),
        CLICKS: sum(n for (_, kind), n in counts.items() if kind == "click"),
        ORPHAN_CLICKS: counts.get((judging.UNKNOWN, "click"), 0),
    }
    warnings = _warnings(notes, taken.unreadable if taken else 0)
    for warning in warnings:
        log.warning(warning)
    kept = {name: n for name, n in notes.items() if n}
    write_findings(delivery.warehouse, Findings(FINDINGS, total, total - sum(refused.values()), refused, {}, kept, warnings))


def _warnings(notes: dict[str, int], unreadable: int) -> tuple[str, ...]:
    said = []
    if notes[TWO_USERS]:
        said.append(f"{notes[TWO_USERS]:,} recommendations have two users: their answers were kept in a cache, which must not be")
    if notes[LOST]:
        said.append(f"{notes[LOST]:,} lines of the look-up's log are lost: its process was killed, or its disk was full")
    if unreadable:
        said.append(f"{unreadable:,} lines of the look-up's log cannot be read; see quarantine_core_served")
    return tuple(said)

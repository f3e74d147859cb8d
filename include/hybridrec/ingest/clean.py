"""Clean one core table of a source: what has landed, judged row by row, merged into what is there.

The outcome is a pending state: it becomes the table once its check has accepted it (hybridrec.ingest.quality).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.ingest import cleaning, identity, partitions, served, vectors, waiting
from hybridrec.ingest.findings import Findings, find, write_findings
from hybridrec.ingest.landing import Landing, read_landing
from hybridrec.storage import shared_files, store
from hybridrec.storage.fingerprints import fingerprint
from hybridrec.tables import GONE, Table, spark_type, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
CORE_TABLES = ("core_items", "core_users", "core_events")  # in this order: events are compared with the catalogue


@dataclass(frozen=True)
class _Judged:
    """Delivered rows with their reasons, persisted, what goes with them, and what is known besides their reasons.

    settle: the last step, once the rows are in the table.
    """

    frame: DataFrame
    notes: dict[str, int]
    warnings: tuple[str, ...]
    persisted: tuple[DataFrame, ...]
    settle: Callable[[], None]


@dataclass(frozen=True)
class _Job:
    """One table of one delivery."""

    spark: SparkSession
    settings: Settings
    landing: Landing
    definition: Table
    config: Config
    origin: str

    @property
    def warehouse(self) -> Path:
        return self.settings.warehouse(self.landing.source)

    @property
    def dataset(self) -> Path:
        return self.warehouse / self.definition.name

    def committed_rows(self, name: str) -> DataFrame | None:
        """Return a core table that has passed its check, as a frame."""
        folder = self.warehouse / name
        if not store.is_committed(folder) or not store.read_manifest(folder).files:
            return None
        return self.spark.read.schema(table(name).spark_ddl()).parquet(*_spark_files(folder))


def clean_table(spark: SparkSession, settings: Settings, source: str, name: str, config: Config) -> store.Manifest:
    """Return the raw to core for one table; refused rows go to quarantine_<name>. Returns the pending state.

    core_events are merged by day. core_items and core_users are replaced, and keep the rows that a full delivery lacks as such that
    have left. Without item or user files the ids that events name are added to the table. PermanentError leaves the core table as it was.
    """
    if name not in CORE_TABLES:
        raise PermanentError(f"table {name!r}: choose from {', '.join(CORE_TABLES)}")
    spark.conf.set("spark.sql.session.timeZone", "UTC")  # a cluster's own zone would shift naive time stamps
    landing = read_landing(settings, source)
    origin = _origin(settings, landing, name, config)  # before anything is read: what is committed meanwhile is not in it
    job = _Job(spark, settings, landing, table(name), config, origin)
    if not _is_delivered(landing, name):
        write_findings(job.warehouse, Findings(name))
        return partitions.replace_all(job.dataset, job.definition, _with_named(job), origin, checked=True)
    judged = _judge_events(job) if name == "core_events" else _judge_rows(job)
    try:
        return _keep(job, judged)
    finally:
        for frame in judged.persisted:
            frame.unpersist()


def is_clean(settings: Settings, source: str, name: str, config: Config) -> bool:
    """Return whether a core table's newest state and its quarantine were made from equal files, with the same options and code."""
    landing, warehouse = read_landing(settings, source), settings.warehouse(source)
    origin = _origin(settings, landing, name, config)
    beside = [f"quarantine_{name}"] if _is_delivered(landing, name) else []
    beside += [waiting.NAME] if name == "core_events" and store.is_committed(warehouse / waiting.NAME) else []
    newest = store.newest(warehouse / name)
    return newest is not None and newest.made_from == origin and all(store.is_made_from(warehouse / part, origin) for part in beside)


def _is_delivered(landing: Landing, name: str) -> bool:
    return bool(landing.files(name.removeprefix("core_")))


def _origin(settings: Settings, landing: Landing, name: str, config: Config) -> str:
    """Return the inputs of the table besides its former rows; the time of landing is left out, see _keep."""
    from pyspark import __version__

    delivered = landing.content.get(name.removeprefix("core_") if _is_delivered(landing, name) else "events")
    warehouse = settings.warehouse(landing.source)
    catalogue = [state.content_hash for state in _known_states(warehouse / "core_items")] if name == "core_events" else []
    removed = removed_ids(warehouse) if name == "core_events" else []
    logged = {"logged": parts} if name == "core_events" and (parts := served.parts(landing)) else {}  # else as before there was a log
    return fingerprint(
        **logged, table=name, delivered=delivered, catalogue=catalogue, removed=removed, options=asdict(config), spark=__version__
    )


def _known_states(dataset: Path) -> list[store.Manifest]:
    """Return the state that counts and the one that waits for its check, if they differ."""
    current = [store.read_manifest(dataset)] if store.is_committed(dataset) else []
    proposed = store.pending(dataset)
    return current + ([proposed] if proposed and proposed.content_hash not in [state.content_hash for state in current] else [])


def removed_ids(warehouse: Path) -> list[str]:
    """Return ids of the users who are to be forgotten, sorted."""
    import pyarrow.dataset as ds

    folder = warehouse / "core_users"
    files = store.committed_files(folder) if store.is_committed(folder) else []
    data = ds.dataset([str(path) for path in files], format="parquet", partitioning=None) if files else None
    if data is None or "standing" not in data.schema.names:
        return []
    return sorted(data.to_table(columns=["user_id"], filter=ds.field("standing") == "removed")["user_id"].to_pylist())


def _judge_rows(job: _Job) -> _Judged:
    """Return delivered items or users."""
    files = job.landing.files(job.definition.name.removeprefix("core_"))
    frame = cleaning.read_raw(job.spark, files, job.definition).persist()
    vectors.require_comparable(frame, job.definition)
    return _Judged(cleaning.refuse_duplicates(frame, job.definition.key), {}, (), (frame,), _nothing)


def _judge_events(job: _Job) -> _Judged:
    """Return delivered events and those that have waited, each with its own id."""
    rows = cleaning.read_raw(job.spark, job.landing.files("events"), job.definition)
    settle: Callable[[], None] = _nothing
    logged: tuple[DataFrame, ...] = ()
    if served.is_any(job.settings, job.landing):
        delivery = served.Delivery(job.spark, job.settings, job.landing, job.config.wait_days, job.origin, _forgotten(job))
        taken = served.take(delivery)
        rows = rows if taken is None else rows.unionByName(taken.events)
        logged = () if taken is None else (taken.judged,)
        settle = partial(served.settle, delivery, taken)
    raw = identity.name_events(rows).persist()
    numbered = identity.number_repeats(cleaning.without_unrated(raw))
    landed_at = job.landing.landed_at
    frame = waiting.with_waiting(job.spark, numbered, job.warehouse, landed_at, job.config.wait_days)
    frame = cleaning.judge_events(job.spark, frame, _event_rules(job)).persist()
    apart = identity.tell_apart(frame, partitions.newest_rows(job.spark, job.dataset, job.definition))
    events = cleaning.refuse_duplicates(apart.events, job.definition.key)
    events = cleaning.refuse_robots(events, job.config.max_events_per_day)
    events = events if events is frame else events.persist()
    notes = {
        "ids that named several events": apart.n_shared_ids,
        "ids whose event replaces one of another time or type": apart.n_corrected,
    }
    shared = f"{apart.n_shared_ids:,} values of event_id name several users or items; every event was kept, under an id of its own"
    return _Judged(events, notes, (shared,) if apart.n_shared_ids else (), (*logged, raw, frame, events), settle)


def _nothing() -> None:
    pass


def _keep(job: _Job, judged: _Judged) -> store.Manifest:
    """Commit the quarantine and the findings, then, if enough is good, propose the core table."""
    name, frame = job.definition.name, judged.frame
    events = name == "core_events"
    delivered, waited = cleaning.count_reasons(frame)
    made_from = "" if cleaning.FUTURE in delivered else job.origin  # what is in the future at this landing may be past at the next
    quarantine = table(f"quarantine_{name}")
    partitions.replace_all(job.warehouse / quarantine.name, quarantine, cleaning.quarantined(frame), made_from)
    notes = judged.notes | {"events that had waited for the catalogue": waited.get("", 0)}
    said = tuple(f"{delivered[reason]:,} rows: {reason}" for reason in (cleaning.EMPTY_ORDER, cleaning.NOT_BOUGHT) if delivered.get(reason))
    findings = find(name, frame, delivered, notes, judged.warnings + said)
    _say(findings)
    write_findings(job.warehouse, findings)
    cleaning.require_mostly_good(name, delivered, job.config.max_bad_share)
    good = cleaning.good_rows(frame, job.definition)
    if not events:
        rows = with_those_who_left(good, job.committed_rows(name), job.definition)
        return partitions.replace_all(job.dataset, job.definition, rows, made_from, checked=True)
    manifest = partitions.merge_days(job.spark, job.dataset, job.definition, good, made_from, _forgotten(job))
    # last: killed before, the events that were let in come again and find themselves there
    if cleaning.UNKNOWN in delivered or cleaning.UNKNOWN in waited or store.is_committed(job.warehouse / waiting.NAME):
        waiting.keep_waiting(frame, job.warehouse, job.landing.landed_at, job.config.wait_days, made_from)
    judged.settle()
    return manifest


def _say(findings: Findings) -> None:
    log.info(
        "%s: %d good, refused %s, values dropped %s, %s", findings.table, findings.good, findings.refused, findings.mended, findings.notes
    )
    for warning in findings.warnings:
        log.warning(warning)


def with_those_who_left(delivered: DataFrame, before: DataFrame | None, definition: Table) -> DataFrame:
    """Return the rows of a full delivery, and those of the last table that passed which it lacks.

    Items become unavailable; users whom only events name stay as they are, since no user table need hold them. Only the id of a user who
    is to be deleted stays, to recognise their events if they are delivered again.
    """
    from pyspark.sql import functions as F

    is_user = definition.name == "core_users"
    rows = delivered
    if before is not None:
        lacking = before.join(delivered.select(*definition.key), list(definition.key), "left_anti").select(*definition.column_names)
        standing = F.coalesce("standing", F.lit("named" if is_user else "listed"))  # of a table from before this column
        stays = standing.isin("named", "removed") if is_user else standing.isin("removed")
        lacking = vectors.without_old_lengths(lacking, delivered, definition)
        rows = rows.unionByName(lacking.withColumn("standing", F.when(stays, standing).otherwise(F.lit("left"))))
    if not is_user:
        return _filled(rows.withColumn("is_available", F.col("is_available") & ~F.col("standing").isin(*GONE)), definition)
    details = [name for name in definition.column_names if name not in (*definition.key, "standing")]
    return _filled(rows.withColumns({name: F.when(F.col("standing") != "removed", F.col(name)) for name in details}), definition)


def _filled(rows: DataFrame, definition: Table) -> DataFrame:
    """Replace nulls by defaults, so that Spark treats the same columns as free of nulls, wherever the rows come from.

    A Parquet file of equal rows is another one where a column may be null.
    """
    from pyspark.sql import functions as F

    defaults = {column.name: cleaning.default_of(column) for column in definition.columns if column.default is not None}
    return rows.withColumns({name: F.coalesce(name, default) for name, default in defaults.items()})


def _forgotten(job: _Job) -> DataFrame | None:
    rules = _event_rules(job)
    return cleaning.removed_users(job.spark, rules.users) if rules.n_removed else None


def _event_rules(job: _Job) -> cleaning.EventRules:
    """Return the events compared with the accepted catalogue and with the candidate that waits."""
    catalogue: tuple[str, ...] = ()
    if job.landing.files("items"):
        folder = job.warehouse / "core_items"
        names = {file for state in _known_states(folder) for file in state.files}
        if not names:
            raise PermanentError("core_events: events are compared with core_items, which does not exist; clean core_items first")
        catalogue = tuple(shared_files.spark_path(path) for path in shared_files.fetch(folder / name for name in sorted(names)))
    n_removed = len(removed_ids(job.warehouse))
    return cleaning.EventRules(job.landing.landed_at, catalogue, _spark_files(job.warehouse / "core_users") if n_removed else (), n_removed)


def _spark_files(folder: Path) -> tuple[str, ...]:
    return tuple(shared_files.spark_path(path) for path in store.committed_files(folder))


def _with_named(job: _Job) -> DataFrame:
    """Return the table as it last passed, and the ids besides that events of this delivery name; such an item's title is its id."""
    from pyspark.sql import functions as F

    definition = job.definition
    key = definition.key[0]
    ids = cleaning.read_raw(job.spark, job.landing.files("events"), table("core_events")).where("_reason is null").select(key).distinct()
    before = job.committed_rows(definition.name)
    new = ids if before is None else ids.join(before.select(key), key, "left_anti")
    values = {column.name: cleaning.default_of(column).cast(spark_type(column.type)) for column in definition.columns}
    values |= {key: F.col(key), "standing": F.lit("named")} | ({"title": F.col(key)} if "title" in values else {})
    named = new.select(*[values[column.name].alias(column.name) for column in definition.columns])
    return _filled(named if before is None else before.unionByName(named), definition)

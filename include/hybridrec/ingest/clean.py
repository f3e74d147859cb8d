"""Clean one core table of a source: what has landed, judged row by row, merged into what is there."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec import storage, store
from hybridrec.config import Config
from hybridrec.errors import BadData
from hybridrec.fingerprint import fingerprint
from hybridrec.ingest import cleaning, partitions
from hybridrec.ingest.landing import Landing, read_landing
from hybridrec.settings import Settings
from hybridrec.tables import Table, spark_type, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
CORE_TABLES = ("core_items", "core_users", "core_events")  # in this order: events are held against the catalogue


def clean_table(spark: SparkSession, settings: Settings, source: str, name: str, config: Config) -> store.Manifest:
    """Raw to core for one table; refused rows go to quarantine_<name>.

    core_events are merged by day; core_items and core_users are replaced, being tables as they stand. Without item
    or user files the ids that events name are the table. BadData leaves the core table as it was.
    """
    if name not in CORE_TABLES:
        raise BadData(f"table {name!r}: choose from {', '.join(CORE_TABLES)}")
    definition = table(name)
    spark.conf.set("spark.sql.session.timeZone", "UTC")  # a cluster's own zone would shift naive time stamps
    landing, warehouse = read_landing(settings, source), settings.warehouse(source)
    origin = _origin(settings, landing, name, config)  # before anything is read: what is committed meanwhile is not in it
    if not _is_delivered(landing, name):
        return partitions.replace_all(warehouse / name, definition, _named_by_events(spark, settings, landing, definition), origin)
    judged = _judge(spark, settings, landing, definition, config)
    try:
        return _keep(spark, warehouse, definition, judged, config, origin)
    finally:
        judged.unpersist()


def is_clean(settings: Settings, source: str, name: str, config: Config) -> bool:
    """Whether a core table and its quarantine were made from equal files, with the same options and code."""
    landing = read_landing(settings, source)
    names = (name, f"quarantine_{name}") if _is_delivered(landing, name) else (name,)
    origin = _origin(settings, landing, name, config)
    return all(store.is_made_from(settings.warehouse(source) / part, origin) for part in names)


def _is_delivered(landing: Landing, name: str) -> bool:
    return bool(landing.files(name.removeprefix("core_")))


def _origin(settings: Settings, landing: Landing, name: str, config: Config) -> str:
    """What the table follows from, besides the rows that it had; the time of landing has no part in it, see _keep."""
    from pyspark import __version__

    delivered = landing.content.get(name.removeprefix("core_") if _is_delivered(landing, name) else "events")
    items = settings.warehouse(landing.source) / "core_items"
    catalogue = store.read_manifest(items).content_hash if name == "core_events" and store.is_committed(items) else ""
    return fingerprint(table=name, delivered=delivered, catalogue=catalogue, options=asdict(config), spark=__version__)


def _judge(spark: SparkSession, settings: Settings, landing: Landing, definition: Table, config: Config) -> DataFrame:
    files = landing.files(definition.name.removeprefix("core_"))
    frame = cleaning.read_raw(spark, files, definition)
    if definition.name == "core_events":
        frame = cleaning.judge_events(spark, frame, _event_rules(settings, landing, config))
    return frame.persist()


def _keep(spark: SparkSession, warehouse: Path, definition: Table, judged: DataFrame, config: Config, origin: str) -> store.Manifest:
    """Commit the quarantine, then, if enough is good, the core table."""
    name = definition.name
    events = name == "core_events"
    frame = cleaning.refuse_duplicates(judged, definition.key)
    if events:
        frame = cleaning.refuse_robots(frame, config.max_events_per_day)
    reasons = cleaning.count_reasons(frame)
    log.info("%s: %d good, refused %s", name, reasons.get("", 0), {key: n for key, n in reasons.items() if key})
    made_from = "" if cleaning.FUTURE in reasons else origin  # what is in the future at this landing may be past at the next
    quarantine = table(f"quarantine_{name}")
    partitions.replace_all(warehouse / quarantine.name, quarantine, cleaning.quarantined(frame), made_from)
    cleaning.require_mostly_good(name, reasons, config.max_bad_share)
    good = cleaning.good_rows(frame, definition)
    if events:
        return partitions.merge_days(spark, warehouse / name, definition, good, made_from)
    return partitions.replace_all(warehouse / name, definition, good, made_from)


def _event_rules(settings: Settings, landing: Landing, config: Config) -> cleaning.EventRules:
    catalogue: tuple[str, ...] = ()
    if landing.files("items"):
        folder = settings.warehouse(landing.source) / "core_items"
        if not store.is_committed(folder):
            raise BadData("core_events: events are held against core_items, which is not there; clean core_items first")
        catalogue = tuple(storage.spark_path(path) for path in store.committed_files(folder))
    return cleaning.EventRules(landing.landed_at, catalogue, config.max_events_per_day)


def _named_by_events(spark: SparkSession, settings: Settings, landing: Landing, definition: Table) -> DataFrame:
    """Ids that events have named, in this delivery or before, as a table of users or items; an item's title is its id."""
    from pyspark.sql import functions as F

    key, events = definition.key[0], table("core_events")
    ids = cleaning.read_raw(spark, landing.files("events"), events).select(key)
    folder = settings.warehouse(landing.source) / definition.name
    if store.is_committed(folder):
        ids = ids.union(spark.read.parquet(*[storage.spark_path(path) for path in store.committed_files(folder)]).select(key))
    values = {column.name: cleaning.default_of(column).cast(spark_type(column.type)) for column in definition.columns}
    values |= {key: F.col(key)} | ({"title": F.col(key)} if "title" in values else {})
    found = ids.where(F.col(key).isNotNull()).distinct()
    return found.select(*[values[column.name].alias(column.name) for column in definition.columns])

"""Events that wait for the catalogue: those of unknown items come again with every ingest until one knows the item."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.ingest import partitions
from hybridrec.ingest.cleaning import FAULTS, UNKNOWN
from hybridrec.ingest.identity import CONTENT
from hybridrec.storage import shared_files, store
from hybridrec.tables import table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME = "waiting_core_events"


def with_waiting(spark: SparkSession, frame: DataFrame, warehouse: Path, landed_at: datetime, wait_days: int) -> DataFrame:
    """Return the delivered events and those that have waited no longer than wait_days; adds `_since`, null for a delivered one."""
    from pyspark.sql import functions as F

    delivered = frame.withColumn("_since", F.lit(None).cast("timestamp"))
    folder = warehouse / NAME
    if not store.is_committed(folder) or not store.read_manifest(folder).rows:
        return delivered
    files = [shared_files.spark_path(path) for path in store.committed_files(folder)]
    waiting = spark.read.schema(table(NAME).spark_ddl()).parquet(*files)
    oldest = F.timestamp_micros(F.lit(int((landed_at - timedelta(days=wait_days)).timestamp() * 1_000_000)))
    waiting = waiting.where(F.col("waiting_since") >= oldest).join(delivered, ["event_id", *CONTENT], "left_anti")
    internal = {
        "_row": F.lit(None).cast("string"),
        "_file": F.col("source_file"),
        "_reason": F.lit(None).cast("string"),
        "_mended": F.array().cast(FAULTS),
        "_made": F.lit(False),
        "_since": F.col("waiting_since"),
    }
    return delivered.unionByName(waiting.withColumns(internal).select(*delivered.columns))


def keep_waiting(frame: DataFrame, warehouse: Path, landed_at: datetime, wait_days: int, made_from: str) -> None:
    """Commit the events of unknown items as those that wait."""
    from pyspark.sql import functions as F

    definition = table(NAME)
    unknown = frame.where((F.col("_reason") == UNKNOWN) & F.lit(wait_days > 0))
    since = F.coalesce("_since", F.timestamp_micros(F.lit(int(landed_at.timestamp() * 1_000_000))))
    rows = unknown.withColumns({"waiting_since": since, "source_file": F.col("_file")}).select(*definition.column_names)
    partitions.replace_all(warehouse / NAME, definition, rows.dropDuplicates(["event_id"]), made_from)

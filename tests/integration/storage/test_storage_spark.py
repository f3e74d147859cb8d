"""Spark's tables have one content wherever they lie: in a folder, mirrored from an object store, written there by a cluster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.execution import spark as sessions
from hybridrec.ingest import partitions
from hybridrec.runs.run import Run
from hybridrec.storage import shared_files, store
from hybridrec.tables import table
from tests.support import object_store, small_world

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EVENTS, DAYS = 60, 3


def test_tables_have_equal_hashes_wherever_they_lie(
    spark: SparkSession, home: Path, object_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder = write_tables(spark)
    assert len(in_folder) == 3
    object_store.use(object_server, monkeypatch)
    assert write_tables(spark) == in_folder
    with object_store.server_over(tmp_path) as environment:
        address = object_store.use(environment, monkeypatch)
        for _ in in_place_of_s3a(spark, tmp_path, address):
            monkeypatch.setenv(shared_files.SUBMITTED, "as under spark-submit")
            assert write_tables(spark) == in_folder
        left = [name for name in object_store.objects(address) if "attempt-" in name]
        assert left and all(name.endswith(".parquet") for name in left), left


def write_tables(spark: SparkSession) -> dict[str, str]:
    """Ingest events twice, each time on a machine that has nothing, and rewrite a run's table; the content hashes."""
    definition, dataset = table("core_events"), Settings.from_env().warehouse("small") / "core_events"
    for n_events in (EVENTS // 2, EVENTS):
        forget()
        rows = events(spark).limit(n_events)
        partitions.accept(dataset, partitions.merge_days(spark, dataset, definition, rows, made_from=""))
    small_world.make_run()
    forget()
    run = Run.open("small")
    users = run.read_spark(spark, "model_users")
    assert users.count() == small_world.N_USERS
    run.write_spark("model_users", users.coalesce(1).sortWithinPartitions("user_idx"))
    pairs = run.read_spark(spark, "model_interactions", "holdout")
    run.write_spark("model_interactions", pairs.repartitionByRange(2, "user_idx").sortWithinPartitions("user_idx", "item_idx"), "holdout")
    forget()
    assert run.read("model_users").num_rows == small_world.N_USERS
    assert spark.read.parquet(*map(str, store.committed_files(dataset))).count() == EVENTS
    places = (dataset, run.dataset("model_users"), run.dataset("model_interactions", "holdout"))
    return {place.name: store.read_manifest(place).content_hash for place in places}


def events(spark: SparkSession) -> DataFrame:
    """Return some events of the small world as core_events, moved to a few days, in the order of the key."""
    definition = table("core_events")
    days = pd.to_timedelta(np.arange(EVENTS) % DAYS, "D")
    frame = small_world.events().head(EVENTS).assign(event_at=small_world.START + days)
    frame = frame.assign(event_date=frame.event_at.dt.date, event_id=frame.user_id + frame.item_id)
    missing = {column: None for column in definition.column_names if column not in frame.columns}
    rows = definition.conform(pa.Table.from_pandas(frame.assign(**missing), preserve_index=False))
    return spark.createDataFrame(rows.sort_by("event_id")).coalesce(1)


def forget() -> None:
    """Leave this machine without any copy, where the home is a mirror."""
    if Settings.from_env().is_remote:
        for name in shared_files.SHARED:
            shutil.rmtree(Path(os.environ["HYBRIDREC_HOME"]) / name, ignore_errors=True)


def in_place_of_s3a(spark: SparkSession, buckets: Path, address: str) -> Iterator[None]:
    """Yield Hadoop's ViewFs under the scheme of S3A, which no registry at hand has, over the folder that a server keeps."""
    _, _, bucket, prefix = address.split("/")
    (buckets / bucket / prefix).mkdir()
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    conf.set("fs.s3a.impl", "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme")
    conf.set(f"fs.viewfs.mounttable.{bucket}.link./{prefix}", f"file://{buckets / bucket / prefix}")
    yield
    conf.unset("fs.s3a.impl")


def test_a_cluster_without_s3a_is_told_what_it_lacks(spark: SparkSession, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_STORAGE", "s3://bucket/prefix")
    with pytest.raises(PermanentError, match=r"cannot read s3://bucket/prefix, it has no S3A; add .*org.apache.hadoop:hadoop-aws:\d\.\d"):
        sessions._require_s3a(spark, Settings.from_env())

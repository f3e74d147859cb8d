"""A night whose tables lie on an object store leaves the tables of a night in a folder, whichever machine runs a job."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import object_store
import pytest
import small_night
import standalone
from night import nightly

from hybridrec import store
from hybridrec_airflow.steps import Step

pytestmark = pytest.mark.cluster
# Stands in for S3A, which no registry at hand has: Hadoop's ViewFs under that scheme, over the folder that a server keeps.
S3A = """
spark.hadoop.fs.s3a.impl org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme
spark.hadoop.fs.viewfs.mounttable.{bucket}.link./{prefix} file://{folder}
"""


def test_every_table_is_that_of_a_folder(
    alone: dict[str, str], object_storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "machine"
    on_store = small_night.run(home, run_elsewhere, monkeypatch, left_out={"stop_spark"})
    assert len(alone) == 30
    assert on_store == alone
    assert_readable_elsewhere(tmp_path / "other", on_store, monkeypatch)
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    assert [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_a_cluster_reads_and_writes_the_store_by_itself(alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buckets").mkdir()
    (tmp_path / "cluster").mkdir()
    with object_store.server_over(tmp_path / "buckets") as environment:
        _, _, bucket, prefix = object_store.use(environment, monkeypatch).split("/")
        kept = tmp_path / "buckets" / bucket / prefix
        kept.mkdir()
        with standalone.running(tmp_path / "cluster", 2, S3A.format(bucket=bucket, prefix=prefix, folder=kept)) as cluster:
            cluster.use(monkeypatch)
            monkeypatch.setenv("HYBRIDREC_SPARK", "submit")
            on_store = small_night.run(tmp_path / "machine", submit_elsewhere, monkeypatch)
            assert on_store == alone
            assert len(cluster.finished()) == 10


def submit_elsewhere(step: Step, home: Path) -> int:
    """Run a job from a machine that has no copy of anything, the Spark jobs on the cluster."""
    forget(home)
    return small_night.submit(step) if step.session else nightly.run(step, home)


def run_elsewhere(step: Step, home: Path) -> int:
    """Run a job on a machine that has no copy of anything."""
    forget(home)
    return nightly.run(step, home)


def forget(home: Path) -> None:
    """Delete the mirror."""
    for name in ("runs", "warehouse"):
        shutil.rmtree(home / name, ignore_errors=True)


def assert_readable_elsewhere(home: Path, hashes: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Another machine gets all files of the run's tables, and they have the content that their manifests promise."""
    patch.setenv("HYBRIDREC_HOME", str(home))
    for place in [place for place in hashes if place.startswith("runs/")]:
        files = store.committed_files(home / place)
        found = hashlib.sha256("".join(map(store.hash_parquet, files)).encode())
        assert found.hexdigest() == hashes[place]

"""The topology's object store: MLflow's artefacts, and a night's tables. They are those of a folder, whichever machine runs a job."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from hybridrec.storage import store
from hybridrec_airflow.steps import Step
from hybridrec_local.rest import DIRECT
from hybridrec_local.topology import Cluster
from tests.support import nightly, object_store
from tests.support.cluster import small_night


def become(cluster: Cluster, service: str, patch: pytest.MonkeyPatch) -> None:
    """Have of the store what a service's processes have."""
    for name, value in cluster.instances[service].environment().items():
        if name.startswith("AWS_"):
            patch.setenv(name, value)


def test_models_lie_on_the_store_and_everybody_sees_his_own_bucket(cluster: Cluster, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    become(cluster, "mlflow", monkeypatch)
    assert any(name.endswith("/report.html") for name in object_store.objects("s3://mlflow/artifacts"))
    with pytest.raises(ClientError, match="AccessDenied"):
        object_store.objects("s3://tables/anything")
    become(cluster, "scheduler", monkeypatch)
    with pytest.raises(ClientError, match="AccessDenied"):
        object_store.objects("s3://mlflow/artifacts")
    assert DIRECT.get(f"{cluster.url('store')}/mlflow").status_code == 403


def test_nobody_makes_a_user_of_the_store_by_the_port_beside_that_of_s3(cluster: Cluster) -> None:
    import grpc

    def field(number: int, content: bytes) -> bytes:
        """Return a field of a protocol buffer whose content is bytes, fewer than 128."""
        return bytes([number << 3 | 2, len(content)]) + content

    credential = field(1, b"mallory") + field(2, b"a-key-of-her-own")
    identity = field(1, b"mallory") + field(2, credential) + field(3, b"Admin")
    ports = [word.rsplit("=", 1)[1] for word in cluster.instances["store"].command() if word.startswith("-s3.port.grpc=")]
    with grpc.insecure_channel(f"{cluster.address('store')}:{ports[0]}") as channel:
        put = channel.unary_unary("/messaging_pb.SeaweedS3IamCache/PutIdentity")
        with pytest.raises(grpc.RpcError) as refused:
            put(field(1, identity), timeout=30)
    assert refused.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def test_every_table_is_that_of_a_folder(alone: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_folder = small_night.hashes(alone)
    become(cluster, "scheduler", monkeypatch)
    monkeypatch.setenv("HYBRIDREC_STORAGE", "s3://tables/small")
    home = tmp_path / "machine"
    on_store = small_night.run(home, run_elsewhere, monkeypatch, left_out={"stop_spark"})
    assert len(in_folder) >= 30, "the tables of three splits, and those of the whole night"
    assert on_store == in_folder
    assert_readable_elsewhere(tmp_path / "other", on_store, monkeypatch)
    secret = cluster.secrets["store_tables"].strip().rsplit("=", 1)[1].encode()
    assert [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def run_elsewhere(step: Step, home: Path) -> int:
    """Run a job on a machine that has no copy of anything."""
    for name in ("runs", "warehouse"):
        shutil.rmtree(home / name, ignore_errors=True)
    return nightly.run(step, home)


def assert_readable_elsewhere(home: Path, hashes: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Check that another machine gets all files of the run's tables with the content of their manifests."""
    patch.setenv("HYBRIDREC_HOME", str(home))
    for place in [place for place in hashes if place.startswith("runs/")]:
        files = store.committed_files(home / place)
        found = hashlib.sha256("".join(map(store.hash_parquet, files)).encode())
        assert found.hexdigest() == hashes[place]

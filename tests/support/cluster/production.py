"""The production topology on this machine, up while the cluster tier runs, and a night that it has done."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from hybridrec.publishing.publish import live_publication
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.versions.publications import Publication
from hybridrec_local import dag_run
from hybridrec_local.rest import DIRECT
from hybridrec_local.topology import Cluster
from tests.support.cluster.small_night import NIGHT, RUN_ID, STARTED, write_options
from tests.support.scheduler import Dags

# Little memory and quick starts.
SMALL = {
    "HYBRIDREC_SCHEDULE": "off",
    "HYBRIDREC_THREADS": "1",
    "JDK_JAVA_OPTIONS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "NIGHT_TASKS": "2",
    "SPARK_DAEMON_MEMORY": "256m",
}
NIGHTLY = ("ingest", "nightly_retrain")
DAGS = (*NIGHTLY, "rollback_publication", "start_experiment", "decide_experiment")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Provide all services of docker-compose.yaml that can be here, with a home and addresses of their own."""
    home = Path(tempfile.mkdtemp(prefix="cluster_"))
    home.chmod(0o755)  # the database server runs as a user of its own
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setenv(name, value)
        patch.setenv("HYBRIDREC_HOME", str(home))
        patch.setenv("HYBRIDREC_CLUSTER_NETWORK", _free_network())
        found = Cluster.from_env()
    try:
        found.start()
        data = found.volume("data")
        write_options(data)
        api = found.connect("admin")
        for dag_id in DAGS:
            dag_run.wait_for_dag(api, dag_id)
            api.pause(dag_id, False)
        yield found
    finally:
        found.stop()
        left = [process.info for process in psutil.process_iter(["pid", "cmdline"]) if str(home) in " ".join(process.info["cmdline"] or ())]
        assert left == []
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def commands() -> Iterator[set[str]]:
    """Provide the command lines of this machine's processes since the night began, looked at each second."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            seen.update(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))

    watcher = threading.Thread(target=look)
    watcher.start()
    yield seen
    over.set()
    watcher.join()


@pytest.fixture(scope="session")
def run_id(cluster: Cluster, commands: set[str]) -> str:
    """Provide the id of a night over REST that has succeeded."""
    dags = Dags(cluster.connect("operator"))
    dags.run("ingest", RUN_ID, source="synthetic")
    dags.run("start_experiment", RUN_ID, **STARTED)
    return dags.run("nightly_retrain", RUN_ID, **NIGHT)


def _free_network() -> str:
    """Return three numbers of unused addresses: another cluster may be up on this machine."""
    for number in range(100, 250):
        with socket.socket() as probe:
            if probe.connect_ex((f"127.77.{number}.10", 5432)):
                return f"127.77.{number}"
    raise AssertionError("no network is free")


def live(cluster: Cluster) -> Publication:
    target = PostgresTarget(reader_address(cluster), "hybridrec_reader")
    try:
        found = live_publication(target.versions())
    finally:
        target.close()
    assert found
    return found


def reader_address(cluster: Cluster) -> str:
    return cluster.instances["lookup"].environment()["HYBRIDREC_POSTGRES"]


def reader(cluster: Cluster) -> psycopg.Connection[Any]:
    return psycopg.connect(reader_address(cluster), autocommit=True)


def page(address: str) -> Any:
    return DIRECT.get(address, headers={"Accept": "application/json"}).raise_for_status().json()

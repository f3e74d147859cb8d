"""A Spark standalone cluster on the loopback: a master and workers of one core each, as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark

START_SECONDS = 120.0
SMALL_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # half the start-up on two cores
# A cluster's defaults as an administrator might have set them: what shapes results must hold against them.
DEFAULTS = f"""
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.memory 1g
spark.driver.extraJavaOptions {SMALL_JVM}
spark.executor.memory 1g
spark.executor.extraJavaOptions {SMALL_JVM}
spark.ui.enabled false
spark.scheduler.minRegisteredResourcesRatio 1.0
spark.sql.shuffle.partitions 3
spark.sql.session.timeZone America/New_York
spark.sql.adaptive.enabled false
spark.sql.parquet.outputTimestampType INT96
spark.sql.parquet.compression.codec gzip
"""


@dataclass(frozen=True)
class Standalone:
    """A running cluster: its master's address, the web pages of master and workers, and the workers' folders."""

    url: str
    master_page: str
    worker_pages: tuple[str, ...]
    worker_folders: tuple[Path, ...]

    @property
    def connection(self) -> str:
        """The cluster as an Airflow connection in JSON."""
        host, port = self.url.rsplit(":", 1)
        return json.dumps({"conn_type": "spark", "host": host, "port": int(port), "extra": {"deploy-mode": "client"}})

    def finished(self) -> dict[str, str]:
        """Ids of the applications that have ended, and their state."""
        return {app["id"]: app["state"] for app in read_page(self.master_page)["completedapps"]}

    def ran(self) -> list[set[str]]:
        """For each worker the applications of whose tasks its executors have run at least one."""
        return [
            {log.parts[-3] for log in folder.glob("app-*/*/stderr") if "Running task" in log.read_text()} for folder in self.worker_folders
        ]


@contextmanager
def running(folder: Path, n_workers: int) -> Iterator[Standalone]:
    """A cluster while the block runs. Its processes are killed by their groups at the end."""
    (folder / "conf").mkdir()
    (folder / "conf" / "spark-defaults.conf").write_text(f"{DEFAULTS}spark.local.dir {folder}/scratch\n")
    processes = []
    try:
        processes.append(_start(folder, "master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"))
        url = _logged(folder, "master", r"Starting Spark master at (spark://[\d.:]+)")
        names = [f"worker{number}" for number in range(n_workers)]
        for name in names:
            flags = ("--host", "127.0.0.1", "--cores", "1", "--memory", "2g", "--webui-port", "0", url)
            processes.append(_start(folder, name, *flags))
        master, *workers = (_logged(folder, name, r"WebUI.* started at (http://[\w.:]+)") for name in ("master", *names))
        _wait_until(lambda: read_page(master)["aliveworkers"] == n_workers, "the workers have not registered")
        yield Standalone(url, master, tuple(workers), tuple(folder / name for name in names))
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read_page(address: str) -> dict[str, Any]:
    """What a master or a worker tells of itself."""
    with urllib.request.urlopen(f"{address}/json/", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _start(folder: Path, name: str, *flags: str) -> subprocess.Popen[bytes]:
    kind = "master.Master" if name == "master" else "worker.Worker"
    home = Path(pyspark.__file__).parent
    # nothing of this project's environment: an executor must be given what it needs
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYSPARK", "HYBRIDREC_"))} | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SPARK_DAEMON_JAVA_OPTS": SMALL_JVM,
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_WORKER_DIR": str(folder / name),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *flags]
    with (folder / f"{name}.log").open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)


def _logged(folder: Path, name: str, pattern: str) -> str:
    """What the daemon says of the port that it was given."""
    log = folder / f"{name}.log"
    _wait_until(lambda: re.search(pattern, log.read_text()) is not None, f"{name} has not said {pattern!r}; see {log}")
    found = re.search(pattern, log.read_text())
    assert found
    return found[1]


def _wait_until(holds: Any, failure: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, failure
        time.sleep(0.2)

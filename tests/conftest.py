"""Fixtures that many tests share: a home of their own, one Spark session, extensions made on the spot."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from database import postgres_address, postgres_server  # noqa: F401  fixtures
from object_store import object_server, object_storage  # noqa: F401  fixtures
from scheduler import airflow_home, first_night, stack  # noqa: F401  fixtures

import jobs  # noqa: F401  sets the thread counts before numpy is imported

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from hybridrec.runs.run import Run

ROOT = Path(__file__).parent.parent
TOGETHER = ("tests/airflow/scheduled/", "tests/security/")  # their tests share Airflow's services and a night that they have run
TOLD = "told"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Where tests run side by side (`-n 2`) those of one file stay together, and all of those that share what is dear."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return TOGETHER[0] if file.startswith(TOGETHER) else file

    return ByFile(config, log)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says a line to whoever runs the tests, at their end: what a test has counted."""
    return lambda line: record_property(TOLD, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have told."""
    reports = (report for found in terminalreporter.stats.values() for report in found)
    lines = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == TOLD]
    for line in dict.fromkeys(lines):  # a test's report comes more than once
        terminalreporter.write_line(line)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty HYBRIDREC_HOME of this test's own. What the test calls may set this process's umask: not for others."""
    os.umask(before := os.umask(0o077))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HYBRIDREC_HOME", str(folder))
    monkeypatch.delenv("HYBRIDREC_STORAGE", raising=False)
    monkeypatch.delenv("HYBRIDREC_EXTENSIONS", raising=False)
    monkeypatch.delenv("HYBRIDREC_SKIP", raising=False)
    yield folder
    os.umask(before)


@pytest.fixture
def small_run(home: Path) -> Run:
    """A committed run over the small world: model_* base tables of all splits, no candidates yet."""
    import small_world

    return small_world.make_run()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One small local session for the whole run; tests that use it are slow."""
    from pyspark.sql import SparkSession

    from hybridrec.execution.spark import CONF, class_archive

    logging.getLogger("py4j").setLevel(logging.WARNING)  # as in a job; its last words come when pytest's streams are closed
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    java_options = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:SharedArchiveFile={class_archive()}"  # passed over where there is none
    builder = SparkSession.builder.master("local[2]").config("spark.driver.extraJavaOptions", java_options)
    for key, value in CONF.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.checkpoint.dir", str(tmp_path_factory.mktemp("checkpoints")))
    builder = builder.config("spark.sql.codegen.wholeStage", "false")  # of a few rows: to compile a stage takes longer than to interpret it
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()

"""Fixtures that many tests share: a home of their own, one Spark session, extensions made on the spot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from database import postgres_address, postgres_server  # noqa: F401  fixtures
from object_store import object_server, object_storage  # noqa: F401  fixtures
from scheduler import airflow_home, first_night, stack  # noqa: F401  fixtures

import jobs  # noqa: F401  sets the thread counts before numpy is imported

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from hybridrec.run import Run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HYBRIDREC_HOME of this test's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HYBRIDREC_HOME", str(folder))
    monkeypatch.delenv("HYBRIDREC_STORAGE", raising=False)
    monkeypatch.delenv("HYBRIDREC_EXTENSIONS", raising=False)
    monkeypatch.delenv("HYBRIDREC_SKIP", raising=False)
    return folder


@pytest.fixture
def small_run(home: Path) -> Run:
    """A committed run over the small world: model_* base tables of all folds, no candidates yet."""
    import small_world

    return small_world.make_run()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One small local session for the whole run; tests that use it are slow."""
    from pyspark.sql import SparkSession

    from hybridrec.spark import CONF

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[2]").config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    for key, value in CONF.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.checkpoint.dir", str(tmp_path_factory.mktemp("checkpoints")))
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()

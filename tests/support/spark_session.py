"""The Spark session of the tests."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# To compile a stage, or an expression, takes longer than to interpret it for a few rows.
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}


@pytest.fixture
def compiled_stages(spark: SparkSession) -> Iterator[None]:
    """Compile stages and expressions as in a job: with many rows it is faster."""
    for key, value in COMPILED.items():
        spark.conf.set(key, value)
    yield
    for key, value in INTERPRETED.items():
        spark.conf.set(key, value)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Provide one small local session for the whole run."""
    from pyspark.sql import SparkSession

    from hybridrec.execution.spark import CONF, class_archive

    logging.getLogger("py4j").setLevel(logging.WARNING)  # as in a job; its last words come when pytest's streams are closed
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    java_options = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:SharedArchiveFile={class_archive()}"  # ignored if the file is missing
    builder = SparkSession.builder.master("local[2]").config("spark.driver.extraJavaOptions", java_options)
    for key, value in CONF.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.checkpoint.dir", str(tmp_path_factory.mktemp("checkpoints")))
    for key, value in INTERPRETED.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.driver.memory", "2g")  # as a job's server has
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()

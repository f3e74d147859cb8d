"""Spark's ALS finds what implicit's finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hybridrec.models import als
from tests.support.checkerboard import SIDE, block, checkerboard

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fitted(engine: str) -> tuple[als.Model, dict[str, float]]:
    model = als.Model(als.Config(factors=8, regularization=5.0, engine=engine))
    return model, model.fit(checkerboard())


def test_spark_finds_what_implicit_finds(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    (by_spark, spark_metrics), (by_implicit, metrics) = fitted("spark"), fitted("implicit")
    users = block(checkerboard(), np.arange(SIDE))
    np.testing.assert_array_equal(by_spark.top_k(users, 1).items, by_implicit.top_k(users, 1).items)
    np.testing.assert_array_equal(by_spark.vectors.scorable, by_implicit.vectors.scorable)
    assert by_spark.vectors.users.shape == (SIDE + 1, 8)
    assert spark_metrics["loss"] == pytest.approx(metrics["loss"], rel=0.2)

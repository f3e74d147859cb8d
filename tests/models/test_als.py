"""Both engines of ALS find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_conformance import SIDE, block, checkerboard

from hybridrec.base.errors import PermanentError
from hybridrec.models import als

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fitted(engine: str) -> tuple[als.Model, dict[str, float]]:
    model = als.Model(als.Config(factors=8, regularization=5.0, engine=engine))
    return model, model.fit(checkerboard())


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(PermanentError, match="engine is 'dask'; choose from implicit, spark"):
        als.Model(als.Config(engine="dask"))


def test_loss_is_the_mean_weighted_squared_error() -> None:
    model, metrics = fitted("implicit")
    chosen = checkerboard().matrix.toarray()
    errors = (1 + model.config.alpha * chosen) * ((chosen > 0) - model.vectors.users @ model.vectors.items.T) ** 2
    assert metrics["loss"] == pytest.approx(errors.mean(), rel=1e-5)


@pytest.mark.slow
def test_spark_finds_what_implicit_finds(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    (by_spark, spark_metrics), (by_implicit, metrics) = fitted("spark"), fitted("implicit")
    users = block(checkerboard(), np.arange(SIDE))
    np.testing.assert_array_equal(by_spark.top_k(users, 1).items, by_implicit.top_k(users, 1).items)
    np.testing.assert_array_equal(by_spark.vectors.scorable, by_implicit.vectors.scorable)
    assert by_spark.vectors.users.shape == (SIDE + 1, 8)
    assert spark_metrics["loss"] == pytest.approx(metrics["loss"], rel=0.2)

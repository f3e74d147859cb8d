"""Both engines of ALS find the same."""

from __future__ import annotations

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.models import als
from tests.support.checkerboard import checkerboard


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

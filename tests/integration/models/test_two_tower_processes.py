"""Two processes fit two towers nearly as one does."""

from __future__ import annotations

import numpy as np
import pytest

from hybridrec.models import two_tower
from hybridrec.runs.run import Run
from hybridrec.training.fits import training_data
from hybridrec.types import TrainingData


def data_of(run: Run) -> TrainingData:
    return training_data(run, "holdout", "two_tower")


def test_two_processes_fit_nearly_as_one_and_twice_the_same(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[1]")
    data = data_of(small_run)
    alone, together, again = (fit(data, processes) for processes in (1, 2, 2))
    assert together[1] == again[1]
    np.testing.assert_array_equal(together[0].vectors.users, again[0].vectors.users)
    np.testing.assert_array_equal(together[0].vectors.items, again[0].vectors.items)
    np.testing.assert_allclose(together[0].vectors.items, alone[0].vectors.items, atol=1e-4)  # rounding grows: 1e-7 was measured
    assert together[1]["held_out_ndcg"] == pytest.approx(alone[1]["held_out_ndcg"], abs=0.01)


def fit(data: TrainingData, processes: int) -> tuple[two_tower.Model, dict[str, float]]:
    """Return a fit of one epoch in which nothing is dropped out: each process would drop what another keeps."""
    model = two_tower.Model(two_tower.Config(processes=processes, max_epochs=1, id_dropout=0.0))
    return model, model.fit(data)

"""A small run with ranked rows, ready for the rules."""

from __future__ import annotations

import pytest
from made_ranked import ranked_rows

from hybridrec import training
from hybridrec.run import Run


@pytest.fixture
def ranked_run(small_run: Run) -> Run:
    """small_run with the models that know similar items, and model_ranked of 15 rows for all users but NO_ROWS."""
    for model in ("item_knn", "content"):
        with small_run.staged(f"models/{model}", "final") as folder:
            training.fit_model(model, training.training_data(small_run, "final", model), {}, folder)
    small_run.write("model_ranked", ranked_rows())
    return small_run

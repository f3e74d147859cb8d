"""Two processes fit the towers nearly as one does, and twice the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hybridrec.deep.distributed import read_data, write_data
from hybridrec.runs.run import Run
from hybridrec.training.fits import training_data
from hybridrec.types import TrainingData


def data_of(run: Run) -> TrainingData:
    return training_data(run, "holdout", "two_tower")


def test_data_are_the_same_in_another_process(small_run: Run, tmp_path: Path) -> None:
    data = data_of(small_run)
    write_data(data, tmp_path)
    found = read_data(tmp_path)
    np.testing.assert_array_equal(found.matrix.toarray(), data.matrix.toarray())
    np.testing.assert_array_equal(found.last_event_day, data.last_event_day)
    np.testing.assert_array_equal(found.item_age_days, data.item_age_days)
    assert found.items.to_json() == data.items.to_json()
    assert found.users.equals(data.users)
    assert (found.seed, found.threads, found.split) == (data.seed, data.threads, data.split)
    assert found.item_vectors is None
    vectors = np.eye(40, 3, dtype=np.float32)
    write_data(replace(data, item_vectors=lambda: vectors), tmp_path)
    read = read_data(tmp_path).item_vectors
    assert read is not None
    np.testing.assert_array_equal(read(), vectors)

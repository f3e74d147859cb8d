"""A run's manifest and tables."""

from __future__ import annotations

import pytest

from hybridrec.errors import BadData
from hybridrec.run import Run


def test_small_run_reads_back(small_run: Run) -> None:
    assert small_run.read("model_users").num_rows == 60
    assert small_run.read("model_interactions", "eval").num_rows == 57 * 10
    assert small_run.read("model_labels", "eval").num_rows == 57 * 4 + 4
    reopened = Run.open("small")
    assert reopened.manifest == small_run.manifest


def test_unknown_run_says_how_to_make_one(home: object) -> None:
    with pytest.raises(BadData, match=r"run 'nope'.*python -m jobs.open_run"):
        Run.open("nope")


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".hidden", "a..b"])
def test_run_id_cannot_leave_the_runs_folder(home: object, run_id: str) -> None:
    with pytest.raises(BadData, match="letters, digits"):
        Run.open(run_id)

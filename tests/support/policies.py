"""A policy with a list for each segment, as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridrec.ranking.policy import Choice, save_policy
from hybridrec.run import Run
from jobs import train_ranker
from tests.support import pools

CHOICES = {
    "none": Choice("source", "popularity", "nothing else knows them"),
    "light": Choice("strategy", "stacking", "the default"),
    "heavy": Choice("strategy", "weighted", "better"),
}


@pytest.fixture
def policy_folder(small_run: Run, tmp_path: Path) -> Path:
    """A policy with a list for each segment, its ranker fitted on the small world."""
    run = pools.add_candidates(small_run)
    train_ranker.main(train_ranker.Params(run.run_id))
    save_policy(run, CHOICES, tmp_path / "policy")
    return tmp_path / "policy"

"""A policy with a list for each segment, as a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hybridrec.policy.policy import Choice, save_policy
from hybridrec.runs.run import Run
from jobs import train_ranker
from tests.support import made_candidates

CHOICES = {
    "none": Choice("source", "popularity", "nothing else knows them"),
    "light": Choice("strategy", "stacking", "the default"),
    "heavy": Choice("strategy", "weighted", "better"),
}


@pytest.fixture(scope="session")
def policy_home(tmp_path_factory: pytest.TempPathFactory, small_home: Path) -> Path:
    """Provide a home with the small world's run, a ranker fitted on it and a policy of CHOICES; made once, to be copied."""
    folder = tmp_path_factory.mktemp("policy_home")
    shutil.copytree(small_home, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        run = made_candidates.add_candidates(Run.open("small"))
        train_ranker.main(train_ranker.Params(run.run_id))
        save_policy(run, CHOICES, folder / "policy")
    return folder


@pytest.fixture
def policy_folder(small_run: Run, home: Path, policy_home: Path) -> Path:
    """Provide the policy; small_run has its candidates and its ranker."""
    shutil.copytree(policy_home, home, dirs_exist_ok=True)
    return home / "policy"

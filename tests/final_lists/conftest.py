"""A small run with ranked rows, ready for the rules."""

from __future__ import annotations

import shutil
from pathlib import Path

import listed_run
import pytest
import small_world

from hybridrec.runs.run import Run


@pytest.fixture(scope="session")
def ranked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with the small world's run taken on to model_ranked; made once, to be copied."""
    folder = tmp_path_factory.mktemp("ranked_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        listed_run.add_ranked(small_world.make_run())
    return folder


@pytest.fixture
def ranked_run(home: Path, ranked_home: Path) -> Run:
    """Provide the small world's run with the models that know similar items, and model_ranked of 15 rows for all users but NO_ROWS."""
    shutil.copytree(ranked_home, home, dirs_exist_ok=True)
    return Run.open("small")

"""A small run with all its lists, ready to be checked and published."""

from __future__ import annotations

import shutil
from pathlib import Path

import listed_run
import pytest
import small_world

from hybridrec.runs.run import Run


@pytest.fixture(scope="session")
def listed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with the small world's run taken on to its lists; made once, to be copied."""
    folder = tmp_path_factory.mktemp("listed_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        listed_run.add_lists(listed_run.add_ranked(small_world.make_run()))
    return folder


@pytest.fixture
def listed(home: Path, listed_home: Path) -> Run:
    """Provide the small world's run with all its published tables."""
    shutil.copytree(listed_home, home, dirs_exist_ok=True)
    return Run.open("small")

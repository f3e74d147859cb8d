"""Fixtures that many tests share: a home of their own, a small run in it, an object store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import jobs  # noqa: F401  sets the thread counts before numpy is imported
from tests.support.object_store import object_server, object_storage  # noqa: F401  fixtures

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

# Their tests share Airflow's services and a night that they have run.
TOGETHER = ("tests/integration/airflow/scheduled/", "tests/integration/security/")
TOLD = "told"
ELSEWHERE = ("HYBRIDREC_STORAGE", "HYBRIDREC_EXTENSIONS", "HYBRIDREC_SKIP", "HYBRIDREC_SERVED")  # would lead out of the home


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep tests of one file together with two workers, and tests that share an expensive fixture."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return TOGETHER[0] if file.startswith(TOGETHER) else file

    return ByFile(config, log)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Provide a printer of a line at the end of the tests: the count of a test."""
    return lambda line: record_property(TOLD, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have told."""
    reports = (report for found in terminalreporter.stats.values() for report in found)
    lines = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == TOLD]
    for line in dict.fromkeys(lines):  # a test's report comes more than once
        terminalreporter.write_line(line)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Provide an empty HYBRIDREC_HOME of this test's own. Code under test may set this process's umask: not for others."""
    os.umask(before := os.umask(0o077))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HYBRIDREC_HOME", str(folder))
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    yield folder
    os.umask(before)


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with the small world's run; made once, to be copied."""
    from tests.support import small_world

    folder = tmp_path_factory.mktemp("small_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        for name in ELSEWHERE:
            patch.delenv(name, raising=False)
        small_world.make_run()
    return folder


@pytest.fixture
def small_run(home: Path, small_home: Path) -> Run:
    """Provide a committed run over the small world: model_* base tables of all splits, no candidates yet."""
    from hybridrec.runs.run import Run

    shutil.copytree(small_home, home, dirs_exist_ok=True)
    return Run.open("small")

"""A service that keeps a log, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrec.feedback.append_log import AppendLog
from hybridrec.targets.sqlite import SqliteTarget
from tests.support.published_rows import publish
from tests.support.serving import Client, serving


@pytest.fixture(scope="module")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("published") / "recommendations.db"
    publish(SqliteTarget(path), "v1", "one")
    return path


@pytest.fixture
def feedback_log(tmp_path: Path) -> AppendLog:
    return AppendLog(tmp_path / "served")


@pytest.fixture
def client(published_file: Path, feedback_log: AppendLog) -> Iterator[Client]:
    with serving(published_file, feedback_log=feedback_log) as found:
        yield found

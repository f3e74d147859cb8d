"""A small run with all its lists, ready to be checked and published, and a service with a client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrec.targets.sqlite import SqliteTarget
from tests.support.listed_run import listed, listed_home  # noqa: F401  fixtures
from tests.support.published_rows import publish
from tests.support.serving import Client, serving


@pytest.fixture(scope="module")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("published") / "recommendations.db"
    publish(SqliteTarget(path), "v1", "one")
    return path


@pytest.fixture(scope="module")
def client(published_file: Path) -> Iterator[Client]:
    with serving(published_file) as found:
        yield found

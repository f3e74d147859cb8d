"""Servers and sessions that integration tests share; each starts when the first test asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.database import postgres_address, postgres_server  # noqa: F401  fixtures
from tests.support.scheduler import airflow_home, first_night, night_home, stack, undisturbed  # noqa: F401  fixtures
from tests.support.spark_session import compiled_stages, spark  # noqa: F401  fixtures

HERE = Path(__file__).parent
LONGEST_FIRST = ("airflow/scheduled", "security", "nights", "ingest", "models", "registry", "dataset", "offline", "targets")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first, so that two workers end at about the same time."""

    def place(item: pytest.Item) -> int:
        if not item.path.is_relative_to(HERE):
            return -1  # another tier's, in the same run
        folder = item.path.relative_to(HERE).parent.as_posix()
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)

"""What the tests of several topologies compare with: the night of one machine with its tables in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_night
from night import nightly


@pytest.fixture(scope="session")
def alone(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The content hash of every table by its place."""
    with pytest.MonkeyPatch.context() as patch:
        return small_night.run(tmp_path_factory.mktemp("alone") / "home", nightly.run, patch)

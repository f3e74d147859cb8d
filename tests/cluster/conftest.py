"""The cluster and its night, and what they are compared with: the night of one machine with its tables in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_night
from night import nightly
from production import SMALL, cluster, commands, run_id  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def alone(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the one machine's night."""
    home = tmp_path_factory.mktemp("alone") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_THREADS", SMALL["HYBRIDREC_THREADS"])
        small_night.run(home, nightly.run, patch)
    return home

"""The cluster and its night, and what they are compared with: the night of one machine with its tables in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrec_local.topology import Cluster
from tests.support import nightly
from tests.support.cluster import small_night
from tests.support.cluster.mid_night import DoneNight
from tests.support.cluster.production import SMALL, cluster, commands, live, run_id  # noqa: F401  fixtures
from tests.support.scheduler import Dags


@pytest.fixture(scope="session")
def alone(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the home of the one machine's night."""
    home = tmp_path_factory.mktemp("alone") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_THREADS", SMALL["HYBRIDREC_THREADS"])
        small_night.run(home, nightly.run, patch)
    return home


@pytest.fixture
def night(cluster: Cluster, run_id: str) -> Iterator[DoneNight]:  # noqa: F811
    """Provide a finished night; after the test, tables and live version must be as before and all services up."""
    before = small_night.hashes(cluster.volume("data")), live(cluster)
    yield DoneNight(cluster, Dags(cluster.connect("operator")), run_id)
    cluster.start()
    assert (small_night.hashes(cluster.volume("data")), live(cluster)) == before

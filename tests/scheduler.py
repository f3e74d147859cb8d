"""Airflow's processes with a home of their own, and a real night that they have run; shared by the whole session."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import planted_secrets
import pytest

if TYPE_CHECKING:
    from hybridrec_airflow.installation import Installation
    from hybridrec_airflow.rest import AirflowApi

ROOT = Path(__file__).parent.parent
RUN_SECONDS = 900.0
# One model of each kind: what the night does with a model does not depend on which it is, and all of them take minutes more.
MODELS = ("als", "content_attributes", "fm", "item_knn", "popularity")
# hybridrec.toml: what is tested is the night, not how well it learns
OPTIONS = "[models.fm]\nmax_epochs = 1\n[strategies.stacking]\nmax_rounds = 60\n"
NIGHT: dict[str, object] = {"source": "movielens_100k", "k": 10, "models": list(MODELS)}


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AIRFLOW_HOME that is set before Airflow is imported: importing it writes there."""
    folder = tmp_path_factory.mktemp("airflow")
    os.environ |= {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    return folder


@dataclass(frozen=True)
class Dags:
    """The DAGs of a running Airflow."""

    api: AirflowApi

    def run(self, dag_id: str, run_id: str | None = None, **form: object) -> str:
        """Trigger a DAG over REST and wait for its success; returns the run's id."""
        run_id = self.api.trigger(dag_id, form, run_id)
        assert self.wait_for(dag_id, run_id) == "success", self.failures(dag_id, run_id)
        return run_id

    def wait_for(self, dag_id: str, run_id: str) -> str:
        """State of a run once it has ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while (state := self.api.state(dag_id, run_id)) not in ("success", "failed"):
            assert time.monotonic() < deadline, f"{dag_id} has not ended after {RUN_SECONDS:.0f} s"
            time.sleep(1)
        return state

    def failures(self, dag_id: str, run_id: str) -> str:
        """The ends of the logs of the tasks that failed."""
        failed = [task for task in self.api.tasks(dag_id, run_id) if task.state == "failed"]
        return "\n".join(f"{task.label}: " + "\n".join(self.api.log(dag_id, run_id, task)[-15:]) for task in failed)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of each task by label."""
        return {task.label: task.state for task in self.api.tasks(dag_id, run_id)}

    def file_safe(self, run_id: str) -> str:
        """Id of the run on storage."""
        return run_id.replace(":", "-").replace("+", "-").replace("~", "-")


@dataclass(frozen=True)
class Stack(Dags):
    """Running services with a home of their own. rights: mode of each file and folder that the first night has left there."""

    installation: Installation
    rights: dict[Path, int] = field(default_factory=dict)

    def published(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the published database."""
        with sqlite3.connect(f"file:{self.installation.settings.published}/recommendations.db?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, airflow_home: Path) -> Iterator[Stack]:
    """All services up on free ports; the environment of other tests stays as it is."""
    from hybridrec_airflow import night, services
    from hybridrec_airflow.installation import Installation

    ports = {f"HYBRIDREC_{name}_PORT": str(_free_port()) for name in ("AIRFLOW", "MLFLOW")}
    home = tmp_path_factory.mktemp("home") / "var"  # which the services make, with the rights that they give it
    own = {"HYBRIDREC_HOME": str(home), "HYBRIDREC_SCHEDULE": "off", **ports, **planted_secrets.ENVIRONMENT}
    own["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] = "900"  # no file changes: reading them every 30 s takes a twentieth of a core
    assert _services("up", own) == 0
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        installation = Installation.from_env()
    try:
        api = services.connect(installation)
        for dag_id in ("ingest", "nightly_retrain", "rollback_publication", "tune_models"):
            night.wait_for_dag(api, dag_id)
            api.pause(dag_id, False)
        installation.settings.home.joinpath("hybridrec.toml").write_text(OPTIONS)
        yield Stack(api, installation)
    finally:
        assert _services("down", own) == 0
    assert services.running(installation) == []


@pytest.fixture(scope="session")
def first_night(stack: Stack) -> str:
    """Run id of a night over REST on real data."""
    stack.run("ingest", source="movielens_100k")
    run_id = stack.run("nightly_retrain", **NIGHT)
    stack.rights.update({path: path.lstat().st_mode for path in stack.installation.settings.home.rglob("*")})
    return run_id


def _services(action: str, own: dict[str, str]) -> int:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "HYBRIDREC"))}
    environment = inherited | own | {"PYTHONPATH": str(ROOT / "plugins")}
    command = [sys.executable, "-m", "hybridrec_airflow.services", action]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=400).returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

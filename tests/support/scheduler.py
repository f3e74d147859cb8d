"""Airflow's processes with a home of their own, and a real night that they have run; shared by the whole session."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hybridrec.base.waiting import first_true
from tests.support import ROOT, planted_secrets

if TYPE_CHECKING:
    from hybridrec.runs.run import Run
    from hybridrec_local.installation import Installation
    from hybridrec_local.rest import AirflowApi

RUN_SECONDS = 900.0
DAILY = ("ingest", "nightly_retrain")  # have a slot outside tests
# One model of each kind: what the night does with a model does not depend on which it is, and all of them take minutes more.
MODELS = ("als", "content_attributes", "fm", "item_knn", "popularity")
# hybridrec.toml: what is tested is the night, not how well it learns
OPTIONS = "[models.fm]\nmax_epochs = 1\n[strategies.stacking]\nmax_rounds = 60\n"
SCHEDULED_RUN = """
import json, sys
from datetime import datetime
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
slot = datetime.fromisoformat(sys.argv[2])
dated = {"run_id": f"scheduled__{slot.isoformat()}", "logical_date": slot, "data_interval": (slot, slot), "run_after": slot}
made = {"run_type": DagRunType.SCHEDULED, "triggered_by": DagRunTriggeredByType.TIMETABLE, "state": DagRunState.QUEUED}
with create_session() as session:
    dag = session.scalar(SerializedDagModel.latest_item_select_object(sys.argv[1])).dag
    print(dag.create_dagrun(**dated, **made, conf=json.loads(sys.argv[3]), session=session).run_id)
"""
QUICK_MODELS = ("item_knn", "popularity")  # for a night of which something else is looked at
NIGHT: dict[str, Any] = {"source": "movielens_100k", "k": 10, "models": list(MODELS)}


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide an AIRFLOW_HOME that is set before Airflow is imported: importing it writes there."""
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
        """Return the state of a run once it has ended."""
        self.wait_until(
            lambda: self.api.state(dag_id, run_id) in ("success", "failed"), f"{dag_id} has not ended after {RUN_SECONDS:.0f} s"
        )
        return self.api.state(dag_id, run_id)

    def failures(self, dag_id: str, run_id: str) -> str:
        """Return the ends of the logs of the tasks that failed."""
        failed = [task for task in self.api.tasks(dag_id, run_id) if task.state == "failed"]
        return "\n".join(f"{task.label}: " + "\n".join(self.api.log(dag_id, run_id, task)[-15:]) for task in failed)

    def is_running(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Return whether a task is at work, a mapped one in any of its instances."""
        return ("running", task_id) in {(task.state, task.task_id) for task in self.api.tasks(dag_id, run_id)}

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task by label."""
        return {task.label: task.state for task in self.api.tasks(dag_id, run_id)}

    def asked(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the question of a task that waits for a person, once it does."""
        self.wait_until(lambda: self.states(dag_id, run_id).get(task_id) == "awaiting_input", f"{task_id} does not ask")
        # A person reads first. Airflow takes an answer that comes before its executor has told of the task's end for a fault.
        time.sleep(5)
        return self.api._call("GET", self._question(dag_id, run_id, task_id))

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Choose an option of a task that waits; again when Airflow's SQLite was busy."""
        from hybridrec_local.rest import Refused

        for attempt in range(5):
            try:
                self.api._call("PATCH", self._question(dag_id, run_id, task_id), {"chosen_options": [option], "params_input": {}})
                return
            except Refused as refusal:
                assert "Database error" in str(refusal) and attempt < 4, refusal

    def wait_until(self, happened: Callable[[], bool], complaint: str, seconds: float = RUN_SECONDS) -> None:
        """Ask again and again until it has happened."""
        assert first_true(happened, seconds, every=0.5), complaint

    def _question(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self.api._run_path(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"

    def file_safe(self, run_id: str) -> str:
        """Return the id of the run on storage."""
        return run_id.replace(":", "-").replace("+", "-").replace("~", "-")


@dataclass(frozen=True)
class Stack(Dags):
    """Running services with a home of their own. rights: mode of each file and folder that the first night has left there."""

    installation: Installation
    rights: dict[Path, int] = field(default_factory=dict)

    def airflow(self, *arguments: str, **own: str) -> str:
        """Run Airflow's own command for this installation and return its output."""
        return self._python(["-m", "airflow", *arguments], own)

    def scheduled_run(self, dag_id: str, slot: datetime, **form: object) -> str:
        """Make a run as the scheduler does at its slot, which a test cannot wait for; return its id."""
        return self._python(["-c", SCHEDULED_RUN, dag_id, slot.isoformat(), json.dumps(form)], {}).splitlines()[-1]

    def backfill(self, dag_id: str, first: str, last: str, **form: object) -> None:
        """Create a backfill by Airflow's own command, one run at a time; it is done again when SQLite was busy, as Airflow wants it."""
        days = ("--from-date", first, "--to-date", f"{last}T23:00:00", "--max-active-runs", "1", "--reprocess-behavior", "completed")
        with self._schedule():
            for _ in range(5):
                try:
                    self.airflow("backfill", "create", "--dag-id", dag_id, *days, "--dag-run-conf", json.dumps(form))
                    return
                except AssertionError as error:
                    if "database is locked" not in str(error):
                        raise
        raise AssertionError("Airflow's database was locked five times")

    @contextmanager
    def _schedule(self) -> Iterator[None]:
        """Give the DAGs their slots as outside tests, because Airflow backfills no others. Paused, so that no slot starts."""
        for dag_id in DAILY:
            self.api.pause(dag_id, True)
        self.airflow("dags", "reserialize", HYBRIDREC_SCHEDULE="on")
        try:
            yield
        finally:
            self.airflow("dags", "reserialize", HYBRIDREC_SCHEDULE="off")
            for dag_id in DAILY:
                self.api.pause(dag_id, False)

    def _python(self, command: list[str], own: dict[str, str]) -> str:
        environment = self.installation.environment() | own | {"PYTHONPATH": str(ROOT / "plugins")}
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def published(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the published database."""
        with sqlite3.connect(f"file:{self.installation.settings.published}/recommendations.db?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, airflow_home: Path) -> Iterator[Stack]:
    """Provide all services up on free ports; the environment of other tests stays as it is."""
    from hybridrec_local import dag_run, services
    from hybridrec_local.installation import Installation

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
        for dag_id in ("ingest", "nightly_retrain", "rollback_publication", "tune_models", "start_experiment", "decide_experiment"):
            dag_run.wait_for_dag(api, dag_id)
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


@pytest.fixture(scope="module")
def night_home(stack: Stack, first_night: str) -> Iterator[Path]:
    """Provide the home folder in which the real scheduler has run the first night, as this process's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(stack.installation.settings.home))
        yield stack.installation.settings.home


@pytest.fixture(scope="module")
def undisturbed(night_home: Path, stack: Stack, first_night: str) -> Run:
    """Provide the run of the first night."""
    from hybridrec.runs.run import Run

    return Run.open(stack.file_safe(first_night))


def _services(action: str, own: dict[str, str]) -> int:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "HYBRIDREC"))}
    environment = inherited | own | {"PYTHONPATH": str(ROOT / "plugins")}
    command = [sys.executable, "-m", "hybridrec_local.services", action]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=400).returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The few calls to Airflow's REST API that a run from the command line needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

# Services listen on this machine only; a proxy from the environment would be asked for a stranger's 127.0.0.1. A connection is used
# once: a server closes one that waits for the next question, and may do so when that is under way.
DIRECT = httpx.Client(trust_env=False, timeout=30, follow_redirects=True, limits=httpx.Limits(max_keepalive_connections=0))
TRIES, LOCKED_SECONDS = 4, 1.0  # while Airflow's database is locked


class Refused(Exception):
    """The server answers with an error; the message is what it says."""


@dataclass(frozen=True)
class TaskState:
    """One task of a run. label: its id, with the map index's name where it is mapped."""

    task_id: str
    map_index: int
    label: str
    state: str
    try_number: int


class AirflowApi:
    """A session with one Airflow server."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._token = ""
        self._token = self._call("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def dags(self) -> dict[str, bool]:
        """Return ids of the DAGs that are parsed, and whether each is paused."""
        return {dag["dag_id"]: dag["is_paused"] for dag in self._call("GET", "/api/v2/dags?limit=100")["dags"]}

    def slots(self) -> dict[str, str]:
        """Return the cron expression of each DAG that has a schedule."""
        timetables = {dag["dag_id"]: dag["timetable_summary"] for dag in self._call("GET", "/api/v2/dags?limit=100")["dags"]}
        return {dag_id: slot for dag_id, slot in timetables.items() if slot}

    def import_errors(self) -> list[str]:
        """Return the errors of DAG files that cannot be parsed."""
        return [error["stack_trace"] for error in self._call("GET", "/api/v2/importErrors")["import_errors"]]

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG or let it go."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> str:
        """Start a run with the form's fields; returns its id, made by Airflow unless it is given. Refused when a value is not allowed."""
        body = {"logical_date": None, "conf": conf, "dag_run_id": run_id}
        answer = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        return str(answer["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run: queued, running, success or failed."""
        return str(self._call("GET", self._run_path(dag_id, run_id))["state"])

    def fail(self, dag_id: str, run_id: str) -> None:
        """End a run."""
        self._call("PATCH", self._run_path(dag_id, run_id), {"state": "failed"})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Let a task of a run start again, and all tasks after it."""
        chosen = {"dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True}
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", chosen | {"only_failed": False, "dry_run": False})

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return the tasks of a run in the order of their start, those that have not started last."""
        instances = self._call("GET", f"{self._run_path(dag_id, run_id)}/taskInstances?limit=1000")["task_instances"]
        instances.sort(key=lambda task: task["start_date"] or "9")
        return [_task(task) for task in instances]

    def log(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        """Return lines of the log of a task's last attempt."""
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{task.task_id}/logs/{max(task.try_number, 1)}?map_index={task.map_index}"
        content = self._call("GET", path)["content"]
        return [text for line in content for text in _log_text(line) if not text.startswith("::")]

    def _run_path(self, dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        tries = 1 if method == "POST" else TRIES  # it might start something twice
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        try:
            while _is_locked(answer := DIRECT.request(method, self.url + path, json=body, headers=headers)) and (tries := tries - 1):
                time.sleep(LOCKED_SECONDS)
        except httpx.RequestError as error:
            raise ConnectionError(f"{method} {self.url}{path}: {error or type(error).__name__}") from error
        if answer.is_error:
            raise Refused(f"{method} {path}: {answer.status_code} {_detail(answer)}")
        return dict(answer.json()) if answer.content else {}


def _is_locked(answer: httpx.Response) -> bool:
    """Return whether Airflow's own database did not let it answer: on one machine it is SQLite, and tasks of a night write there too."""
    return answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and "Database error" in answer.text


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]


def _log_text(line: dict[str, Any] | str) -> list[str]:
    """Return a structured log line as text; an exception's message follows without its frames."""
    if isinstance(line, str):
        return [line]
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()]
    return [part for text in (str(line.get("event", "")), *errors) for part in text.splitlines()]


def _task(raw: dict[str, Any]) -> TaskState:
    name = raw.get("rendered_map_index") or (str(raw["map_index"]) if raw["map_index"] >= 0 else "")
    label = f"{raw['task_id']}[{name}]" if name else str(raw["task_id"])
    return TaskState(raw["task_id"], raw["map_index"], label, raw["state"] or "waiting", raw["try_number"])

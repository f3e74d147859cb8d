"""A night that the cluster has done, of which tests run a task again: when to strike, what a reader is told meanwhile, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from hybridrec.base.waiting import first_true
from hybridrec_local.rest import TaskState
from hybridrec_local.topology import Cluster
from tests.support.cluster.production import page
from tests.support.scheduler import Dags

DAG = "nightly_retrain"
WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class DoneNight:
    """The run and who has done it."""

    cluster: Cluster
    dags: Dags
    run_id: str

    def again(self, task_id: str) -> int:
        """Clear one task, and none after it; returns the number of the attempt that follows."""
        attempt = self.attempt(task_id) + 1
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [task_id], "only_failed": False, "reset_dag_runs": True}
        self.dags.api._call("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", body)
        return attempt

    def attempt(self, task_id: str) -> int:
        """Return the number of a task's last attempt."""
        return self._task(task_id).try_number

    def first_seconds(self, task_id: str) -> float:
        """Return the seconds of a task in an undisturbed night."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{self.run_id}/taskInstances/{task_id}/tries/1"
        return float(self.dags.api._call("GET", path)["duration"])

    def log(self, task_id: str) -> str:
        """Return the log of a task's last attempt."""
        return "\n".join(self.dags.api.log(DAG, self.run_id, self._task(task_id)))

    def _task(self, task_id: str) -> TaskState:
        (task,) = [task for task in self.dags.api.tasks(DAG, self.run_id) if task.task_id == task_id]
        return task

    def state(self) -> str:
        """Return the run's state now."""
        return self.dags.api.state(DAG, self.run_id)

    def end(self) -> str:
        """Return the run's state once it has ended."""
        return self.dags.wait_for(DAG, self.run_id)

    def wait_for_task_on(self, *workers: str) -> str:
        """Wait until the application has all workers and one of them has begun a task; returns that one."""
        until(lambda: has_application(self.cluster, cores=2), "no application has both workers")
        (application,) = page(f"{self.cluster.url('spark-master')}/json/")["activeapps"]

        def begun() -> list[str]:
            folders = {worker: self.cluster.instances[worker].folder / "var/lib/spark-work" / application["id"] for worker in workers}
            return [worker for worker, work in folders.items() if any("Running task" in log.read_text() for log in work.glob("*/stderr"))]

        until(lambda: begun() != [], f"none of {workers} has a task")
        return begun()[0]


def has_application(cluster: Cluster, cores: int) -> bool:
    """Return whether there is an application with so many cores."""
    return any(app["cores"] == cores for app in page(f"{cluster.url('spark-master')}/json/")["activeapps"])


def wait_for_workers(cluster: Cluster) -> None:
    """Wait until the master knows both workers."""
    until(lambda: page(f"{cluster.url('spark-master')}/json/")["aliveworkers"] == 2, "a worker does not come back")


@contextmanager
def polled(cluster: Cluster) -> Iterator[list[tuple[int, str]]]:
    """Record a service's answers while the block lasts: status, 0 for none, and version."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.2):
            try:
                answers.append((200, page(f"{cluster.url('lookup')}/popular?k=5")["version"]))
            except httpx.HTTPError as error:
                answers.append((error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0, ""))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        yield answers
    finally:
        over.set()
        reader.join()


def until(holds: Callable[[], bool], failure: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait until it holds."""
    assert first_true(holds, seconds, every=0.2), failure

"""A process is lost in the midst of a night: the night goes on, or on again, its tables are the same, and readers notice nothing."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
import small_night
from production import live, page
from scheduler import RUN_SECONDS, Dags

from hybridrec_airflow.topology import Cluster

pytestmark = pytest.mark.cluster
WAIT_SECONDS = 120.0
DAG = "nightly_retrain"


@pytest.fixture
def dags(cluster: Cluster) -> Dags:
    return Dags(cluster.connect("operator"))


@pytest.fixture(autouse=True)
def _the_same_tables(cluster: Cluster, dags: Dags, run_id: str) -> Iterator[None]:
    """Whatever is lost, the run's tables and what is live are as they were, and all services are up again."""
    before = small_night.hashes(cluster.volume("data")), live(cluster)
    yield
    cluster.start()
    assert (small_night.hashes(cluster.volume("data")), live(cluster)) == before


def test_a_worker_that_is_lost_while_it_scores(cluster: Cluster, dags: Dags, run_id: str) -> None:
    _again(dags, run_id, "rank_candidates")
    _until(lambda: _application(cluster, cores=2), "no application has both workers")
    (application,) = page(f"{cluster.url('spark-master')}/json/")["activeapps"]
    work = cluster.instances["spark-worker-1"].folder / "var/lib/spark-work" / application["id"]
    _until(lambda: any("Running task" in log.read_text() for log in work.glob("*/stderr")), "the worker has no task")
    _kill(_family(cluster, "spark-worker-1"))
    assert dags.wait_for(DAG, run_id) == "success"
    (task,) = [task for task in dags.api.tasks(DAG, run_id) if task.task_id == "rank_candidates"]
    assert task.try_number == 2, "the job itself went on: cleared once, run once more"


def test_a_scheduler_that_is_lost_does_not_leave_a_job_beside_its_retry(cluster: Cluster, dags: Dags, run_id: str) -> None:
    _again(dags, run_id, "apply_rules")
    _until(lambda: _application(cluster, cores=2), "no application has both workers")
    family = _family(cluster, "scheduler")
    drivers = [process for process in family if "apply_rules.py" in " ".join(_command(process))]
    assert drivers
    _kill([process for process in family if process not in drivers])
    assert psutil.wait_procs(drivers, timeout=20)[1] == [], "the driver has outlived its task"
    cluster.start(["scheduler"])
    assert dags.wait_for(DAG, run_id) == "success"


def test_a_database_that_is_away_while_a_night_publishes(cluster: Cluster, dags: Dags, run_id: str) -> None:
    with _polled(cluster) as answers:
        _again(dags, run_id, "publish_table")
        _until(lambda: any("jobs.publish_table" in _command(process) for process in _family(cluster, "scheduler")), "nothing publishes")
        _kill(_family(cluster, "postgres"))
        time.sleep(10)
        cluster.start(["postgres"])
        _until(lambda: _all_up(cluster) and dags.api.state(DAG, run_id) in ("success", "failed"), "the night does not end", RUN_SECONDS)
        assert dags.api.state(DAG, run_id) == "success"
    assert {version for status, version in answers if status == 200} == {live(cluster).version}
    assert {status for status, _ in answers} == {200, 503}


def test_a_model_registry_that_is_away_for_a_minute(cluster: Cluster, dags: Dags, run_id: str) -> None:
    cluster.stop(["mlflow"])
    _again(dags, run_id, "promote_model")
    time.sleep(60)
    cluster.start(["mlflow"])
    assert dags.wait_for(DAG, run_id) == "success"


def _again(dags: Dags, run_id: str, task_id: str) -> None:
    """Clear one task of the night, and none after it."""
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False, "reset_dag_runs": True}
    dags.api._call("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", body)


def _all_up(cluster: Cluster) -> bool:
    """Start whoever could not do without what was lost, as a restart policy does."""
    cluster.start()
    return True


def _application(cluster: Cluster, cores: int) -> bool:
    return any(app["cores"] == cores for app in page(f"{cluster.url('spark-master')}/json/")["activeapps"])


def _family(cluster: Cluster, name: str) -> list[psutil.Process]:
    process = cluster.instances[name].daemon.process()
    assert process, f"{name} does not run"
    return [process, *process.children(recursive=True)]


def _command(process: psutil.Process) -> list[str]:
    """Its command line; nothing of a process that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(family: list[psutil.Process]) -> None:
    """As when a container dies: all at once, unasked."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)


@contextmanager
def _polled(cluster: Cluster) -> Iterator[list[tuple[int, str]]]:
    """What a service's reader is told while the block lasts: status and version."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.2):
            try:
                answers.append((200, page(f"{cluster.url('lookup')}/popular?k=5")["version"]))
            except urllib.error.HTTPError as error:
                answers.append((error.code, ""))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        yield answers
    finally:
        over.set()
        reader.join()


def _until(holds: Callable[[], bool], failure: str, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, failure
        time.sleep(0.2)

"""A process is lost during a night: the night continues, or continues later, its tables are the same, and readers notice nothing."""

from __future__ import annotations

import contextlib
import time

import psutil

from hybridrec_local.topology import Cluster
from tests.support.cluster.mid_night import DoneNight, has_application, polled, until
from tests.support.cluster.production import live
from tests.support.scheduler import RUN_SECONDS

WORKERS = ("spark-worker-1", "spark-worker-2")


def test_a_worker_that_is_lost_while_it_scores(cluster: Cluster, night: DoneNight) -> None:
    attempt = night.again("rank_candidates")
    worker = night.wait_for_task_on(*WORKERS)  # a small night's candidates is one task, of either
    _kill(_family(cluster, worker))
    assert night.end() == "success"
    assert night.attempt("rank_candidates") == attempt, "the job itself went on"


def test_a_scheduler_that_is_lost_does_not_leave_a_job_beside_its_retry(cluster: Cluster, night: DoneNight) -> None:
    night.again("apply_rules")
    until(lambda: has_application(cluster, cores=2), "no application has both workers")
    family = _family(cluster, "scheduler")
    drivers = [process for process in family if "apply_rules.py" in " ".join(_command(process))]
    assert drivers
    _kill([process for process in family if process not in drivers])
    assert psutil.wait_procs(drivers, timeout=20)[1] == [], "the driver has outlived its task"
    cluster.start(["scheduler"])
    assert night.end() == "success"


def test_a_database_that_is_away_while_a_night_publishes(cluster: Cluster, night: DoneNight) -> None:
    with polled(cluster) as answers:
        night.again("publish_table")
        until(lambda: any("jobs.publish_table" in _command(process) for process in _family(cluster, "scheduler")), "nothing publishes")
        _kill(_family(cluster, "postgres"))
        time.sleep(10)
        cluster.start(["postgres"])
        until(lambda: _all_up(cluster) and night.state() in ("success", "failed"), "the night does not end", RUN_SECONDS)
        assert night.state() == "success"
    assert {version for status, version in answers if status == 200} == {live(cluster).version}
    assert {status for status, _ in answers} == {200, 503}


def test_a_model_registry_that_is_away_for_a_minute(cluster: Cluster, night: DoneNight) -> None:
    cluster.stop(["mlflow"])
    night.again("promote_model")
    time.sleep(60)
    cluster.start(["mlflow"])
    assert night.end() == "success"


def _all_up(cluster: Cluster) -> bool:
    """Start the services that depended on the lost one, as a restart policy does."""
    cluster.start()
    return True


def _family(cluster: Cluster, name: str) -> list[psutil.Process]:
    process = cluster.instances[name].daemon.process()
    assert process, f"{name} does not run"
    return [process, *process.children(recursive=True)]


def _command(process: psutil.Process) -> list[str]:
    """Return its command line; nothing of a process that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(family: list[psutil.Process]) -> None:
    """Kill the service like a dying container: all processes at once, without a signal to stop."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)

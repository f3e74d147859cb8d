"""A machine's disk or network fails during a night: the night continues, its tables are the same, and readers notice nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridrec_local.topology import Cluster
from tests.support.cluster.mid_night import DoneNight, polled, wait_for_workers
from tests.support.cluster.own_network import OwnNetwork, joined
from tests.support.cluster.production import live
from tests.support.small_disk import fill, mounted

WORKER = "spark-worker-2"


def test_a_worker_whose_disk_is_full(cluster: Cluster, night: DoneNight) -> None:
    """During a job that shuffles, and before one starts: the other worker takes over."""
    with polled(cluster) as answers, _on_a_small_disk(cluster) as disk:
        attempt = night.again("build_interactions")
        night.wait_for_task_on(WORKER)
        fill(disk)
        assert night.end() == "success"
        assert night.attempt("build_interactions") == attempt, "the job itself went on"
        assert re.search(r"Lost task .*No space left on device", night.log("build_interactions"))
        fill(disk)  # what the job has left there is gone
        attempt = night.again("rank_candidates")
        assert night.end() == "success"
        assert night.attempt("rank_candidates") == attempt, "the job itself went on"
        assert re.search(r"Executor updated: .* is now FAILED .*No space left on device", night.log("rank_candidates"))
    assert set(answers) == {(200, live(cluster).version)}


def test_a_network_that_is_cut_between_driver_and_worker(cluster: Cluster, night: DoneNight) -> None:
    with polled(cluster) as answers, _in_a_network_of_its_own(cluster) as network:
        attempt = night.again("build_interactions")
        night.wait_for_task_on(WORKER)
        with network.cut():
            time.sleep(night.first_seconds("build_interactions"))  # as long as the whole job, of which some was done before the cut
            assert night.state() == "running", "the cut worker's tasks were not missed"
        assert night.end() == "success"
        assert night.attempt("build_interactions") == attempt, "the job itself went on"
    assert set(answers) == {(200, live(cluster).version)}


@contextmanager
def _on_a_small_disk(cluster: Cluster) -> Iterator[Path]:
    """Restart the worker with its folders on a disk of a few MiB."""
    instance = cluster.instances[WORKER]
    with mounted(instance.folder / "var/lib", mib=8) as disk, _restarted(cluster):
        cluster.start([WORKER])
        wait_for_workers(cluster)
        yield disk


@contextmanager
def _in_a_network_of_its_own(cluster: Cluster) -> Iterator[OwnNetwork]:
    """Restart the worker at the same address, connected to the others by one cable."""
    instance = cluster.instances[WORKER]
    with joined(instance.address, cluster.address("spark-master")) as network, _restarted(cluster):
        instance.daemon.start(network.entered(instance.command()), instance.environment(), instance.user)
        wait_for_workers(cluster)
        yield network


@contextmanager
def _restarted(cluster: Cluster) -> Iterator[None]:
    """Stop the worker before the block and after it."""
    cluster.stop([WORKER])
    try:
        yield
    finally:
        cluster.stop([WORKER])

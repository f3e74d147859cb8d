"""A night in which jobs are killed while a reader reads the published tables."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridrec.base.settings import Settings
from hybridrec.execution.spark import running_server
from hybridrec.execution.task_records import read_records
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target
from hybridrec_airflow.steps import steps
from tests.support import nightly
from tests.support.scheduler import NIGHT

N_USERS = 943
SAMPLED = ("build_features", "train_model.als.ranker", "generate_candidates.full", "evaluate", "publish_table")
ALWAYS = ("open_run", "start_spark", "rank_candidates", "apply_rules", "check_output", "publish_table", "stop_spark")


@dataclass
class Poller:
    """Reads the live table as a service would, again and again, and notes what no service should ever see."""

    path: Path
    versions: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    n_reads: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Poller:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.02):
            try:
                with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30) as db:
                    found = db.execute("SELECT version, COUNT(*) FROM recommendations GROUP BY version").fetchall()
            except sqlite3.Error as error:
                self.faults.append(repr(error))
                continue
            self.n_reads += 1
            self.versions.update(version for version, _ in found)
            if [count for _, count in found] != [N_USERS]:
                self.faults.append(f"saw {found}")


def kill_points(folder: Path) -> dict[str, list[float]]:
    """Return seconds after which to kill each task: points spread over the night, the publish step at four of them.

    The share is that of a task's own seconds: under the scheduler it also waited for others, most of all for the shared Spark.
    """
    seconds = {
        f"{record.job}.{record.part}".rstrip("."): min(record.wall_seconds, record.cpu_seconds + record.spark_seconds * 0.6)
        for record in read_records(folder)
    }
    shares = np.random.default_rng(3).uniform(0.3, 0.8, size=len(seconds)).tolist()
    fits = sorted(name for name in seconds if name.startswith("train_model"))
    passed_over = {"stop_spark", "start_spark", "generate_candidates.holdout", *fits[1::4]}
    points = {name: [share * seconds[name]] for name, share in zip(seconds, shares, strict=True) if name not in passed_over}
    points["publish_table"] = [share * seconds["publish_table"] for share in (0.45, 0.55, 0.65, 0.75)]
    return points


def publish_though_killed(
    undisturbed: Run, home: Path, run_id: str, points: dict[str, list[float]], least: int, on_a_copy: bool = False
) -> None:
    """Kill jobs of a night at these points, and Spark's server, and run each again.

    The same table is published as by the undisturbed night, and readers never see anything but whole versions.
    on_a_copy: the other tasks' results are those of the undisturbed night, up to the lists.
    """
    killed = []
    with Poller(home / "published" / "recommendations.db") as reader:
        for step in steps("nightly_retrain", run_id, NIGHT):
            if on_a_copy and step.task not in (*points, *ALWAYS):
                continue
            for seconds in points.get(step.task, []):
                killed += [step.task] * nightly.run_killed(step, home, seconds)
            if step.task == "rank_candidates":
                server = running_server(Settings.from_env(), step.session)
                assert server is not None
                os.killpg(server.pid, signal.SIGKILL)
                killed.append("the Spark server")
            assert nightly.run(step, home) == 0, nightly.tail(step, home)
            if on_a_copy and step.task == "open_run":
                for part in undisturbed.folder.iterdir():
                    if part.name not in ("run.json", "tasks", "report") and part.is_dir():
                        shutil.copytree(part, undisturbed.folder.with_name(run_id) / part.name, dirs_exist_ok=True)
    assert len(killed) >= least, f"only {len(killed)} of the kills hit a living process: {killed}"
    assert not reader.faults, reader.faults[:3]
    assert reader.n_reads > 50
    hashes = {publication.run_id: publication.content_hash for publication in open_target(Settings.from_env()).versions()}
    assert hashes[run_id] == hashes[undisturbed.run_id]
    assert len(reader.versions) == 2

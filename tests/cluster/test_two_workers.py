"""A night on a Spark cluster of two workers, every Spark job by spark-submit, leaves the tables of a night on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_night
import standalone
from night import nightly
from standalone import Standalone

from hybridrec.spark import RESULTS
from hybridrec_airflow.process import ROOT
from hybridrec_airflow.steps import Step

pytestmark = pytest.mark.cluster
PROBE = Path(__file__).parent / "probe_executors.py"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """Two workers; spark-submit is found and configured as it is on a machine of the cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    with standalone.running(folder, n_workers=2) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder / "conf"))
        patch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", found.connection)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield found


def test_every_table_is_that_of_one_machine(
    alone: dict[str, str], cluster: Standalone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "submit")
    submitted: list[str] = []

    def launch(step: Step, home: Path) -> int:
        if not step.session:
            return nightly.run(step, home)
        submitted.append(step.task)
        return submit(step)

    together = small_night.run(tmp_path / "together", launch, monkeypatch)

    assert together["runs/night/out_recommendations"] == alone["runs/night/out_recommendations"]
    assert together == alone
    assert set(cluster.finished().values()) == {"FINISHED"}
    assert len(cluster.finished()) == len(submitted) == 10
    assert all(len(ran) > 7 for ran in cluster.ran()), cluster.ran()


def submit(step: Step) -> int:
    """Run a step's job as its task does with HYBRIDREC_SPARK=submit; raises when it fails."""
    from hybridrec_airflow.operators import spark_job

    flags = dict(flag.removeprefix("--").split("=", 1) for flag in step.command[3:])
    spark_job(step.job, **flags).execute({})
    return 0


def test_executors_get_this_python_and_fit_together(cluster: Standalone, tmp_path: Path) -> None:
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "HYBRIDREC_HOME": str(tmp_path)}
    command = ["spark-submit", "--master", cluster.url, str(PROBE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["conf"] == RESULTS
    assert {Path(worker["folder"]).parts[-3] for worker in said["workers"]} == {"worker0", "worker1"}
    assert all(worker["python"] == sys.executable and worker["threads"] == "1" for worker in said["workers"])
    assert all(str(ROOT) in worker["path"].split(os.pathsep) for worker in said["workers"])
    together, alone = said["held_out_ndcg"]
    assert together == pytest.approx(alone, abs=0.01)

"""A night on a Spark cluster of two workers, every Spark job by spark-submit, leaves the tables of a night on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import standalone
from night import nightly
from standalone import Standalone

from hybridrec import discover, store
from hybridrec.settings import Settings
from hybridrec.spark import RESULTS, stop_server
from hybridrec_airflow.process import ROOT
from hybridrec_airflow.steps import Step, steps

pytestmark = pytest.mark.cluster
NIGHT: dict[str, object] = {"source": "synthetic", "models": ["als", "item_knn", "popularity"], "k": 10}
WORLD = "[sources.synthetic]\nn_events = 20_000\nn_users = 300\nn_items = 200\n"
LEFT_OUT = {"start_spark", "stop_spark", "check_table", "check_output", "publish_table", "write_report"}  # no other job needs them
TABLES = sorted(set(discover.names("tables")) - {"out_ablation"})  # which tells how many seconds a source took
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
    cluster: Standalone, airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = [step for dag_id in ("ingest", "nightly_retrain") for step in steps(dag_id, "night", NIGHT) if step.job not in LEFT_OUT]
    alone = night(tmp_path / "alone", todo, nightly.run, monkeypatch)
    monkeypatch.setenv("HYBRIDREC_SPARK", "submit")
    submitted: list[str] = []

    def launch(step: Step, home: Path) -> int:
        if not step.session:
            return nightly.run(step, home)
        submitted.append(step.task)
        return submit(step)

    together = night(tmp_path / "together", todo, launch, monkeypatch)

    assert together["runs/night/out_recommendations"] == alone["runs/night/out_recommendations"]
    assert together == alone
    assert set(cluster.finished().values()) == {"FINISHED"}
    assert len(cluster.finished()) == len(submitted) == 10
    assert all(len(ran) > 7 for ran in cluster.ran()), cluster.ran()


def night(home: Path, todo: Sequence[Step], launch: Callable[[Step, Path], int], patch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run jobs in a home of their own; returns the hash of every table by its place below home."""
    home.mkdir()
    (home / "hybridrec.toml").write_text(WORLD)
    patch.setenv("HYBRIDREC_HOME", str(home))
    try:
        for step in todo:
            assert launch(step, home) == 0, f"{step.task} has failed: {nightly.tail(step, home)}"
    finally:
        for name in {step.session for step in todo if step.session}:
            stop_server(Settings.from_env(), name)
    folders = [home / "runs" / "night" / name for name in TABLES] + [home / "warehouse" / "synthetic" / name for name in TABLES]
    manifests = [path for folder in folders for path in folder.rglob(store.MANIFEST)]
    return {str(path.parent.relative_to(home)): store.read_manifest(path.parent).content_hash for path in manifests}


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

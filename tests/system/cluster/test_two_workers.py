"""A night over REST on the production topology: two Spark workers, PostgreSQL, MLflow; its tables are those of one machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from hybridrec.execution.spark import RESULTS
from hybridrec_local.process import ROOT
from hybridrec_local.rest import Refused
from hybridrec_local.topology import Cluster
from tests.support.cluster import small_night
from tests.support.cluster.production import NIGHTLY, live, page, reader, reader_address
from tests.support.cluster.small_night import NIGHT
from tests.support.scheduler import Dags

PROBE = ROOT / "tests" / "support" / "cluster" / "probe_executors.py"
# A cluster's defaults as an administrator might have set them: what shapes results must hold against them.
HOSTILE = {
    "spark.sql.session.timeZone": "America/New_York",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "INT96",
    "spark.sql.parquet.compression.codec": "gzip",
}


def test_whoever_may_only_look_cannot_start_a_night(cluster: Cluster) -> None:
    with pytest.raises(Refused, match="403"):
        cluster.connect("viewer").trigger("nightly_retrain", NIGHT)


def test_both_workers_have_worked_for_the_night(cluster: Cluster, run_id: str) -> None:
    links = [link for dag_id in NIGHTLY for link in history_links(cluster, dag_id, run_id)]
    applications = {link.rstrip("/").rsplit("/", 1)[1] for link in links}
    assert len(applications) == len(links) == 10
    finished = {app["id"] for app in page(f"{cluster.url('spark-master')}/json/")["completedapps"] if app["state"] == "FINISHED"}
    assert applications <= finished
    for worker in ("spark-worker-1", "spark-worker-2"):
        logs = (cluster.instances[worker].folder / "var/lib/spark-work").glob("app-*/*/stderr")
        worked = {log.parts[-3] for log in logs if "Running task" in log.read_text()}
        assert len(worked & applications) >= 5  # a job may be done before it is there
    shown = {app["id"] for app in page(f"{cluster.url('spark-history')}/api/v1/applications")}
    assert {f"{cluster.url('spark-history')}/history/{application}/" for application in applications & shown} == set(links)


def history_links(cluster: Cluster, dag_id: str, run_id: str) -> list[str]:
    """Return the links of a run's tasks to Spark's history."""
    api = cluster.connect("viewer")
    tasks = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
    found = [api._call("GET", f"{tasks}/{task.task_id}/links?map_index={task.map_index}") for task in api.tasks(dag_id, run_id)]
    return [links["extra_links"]["Spark history"] for links in found if "Spark history" in links["extra_links"]]


def test_every_table_is_that_of_one_machine(cluster: Cluster, run_id: str, alone: Path) -> None:
    assert small_night.of_run(run_id, small_night.hashes(cluster.volume("data"))) == small_night.hashes(alone)
    assert live(cluster).content_hash == small_night.published(alone).content_hash


def test_the_service_answers_from_what_the_night_has_published(cluster: Cluster, run_id: str) -> None:
    with reader(cluster) as db:
        user_id, item_ids = db.execute("SELECT user_id, item_ids FROM hybridrec.recommendations ORDER BY user_id LIMIT 1").fetchall()[0]
    answer = page(f"{cluster.url('lookup')}/recommendations/{user_id}?k=10")
    assert [entry["item_id"] for entry in answer["entries"]] == item_ids[:10]
    assert answer["version"] == live(cluster).version


def test_an_experiment_that_goes_back_is_out_with_the_next_look_up(cluster: Cluster, run_id: str) -> None:
    with reader(cluster) as db:
        [(user_id,)] = db.execute(
            "SELECT user_id FROM hybridrec.recommendations WHERE variant = 'shorter' ORDER BY user_id LIMIT 1"
        ).fetchall()
        [(own,)] = db.execute(
            "SELECT item_ids FROM hybridrec.surface_lists WHERE surface = '(plain)' AND user_id = %s", (user_id,)
        ).fetchall()
    address = f"{cluster.url('lookup')}/recommendations/{user_id}?k=10"
    before = page(address)
    assert (len(before["entries"]), before["experiment"], before["variant"]) == (4, "shorter", "shorter")
    Dags(cluster.connect("operator")).run("decide_experiment", experiment="shorter", choice="back", reason="a test of the topology")
    after = page(address)
    assert ([entry["item_id"] for entry in after["entries"]], after["experiment"]) == (own, None)
    assert after["version"] == before["version"]


def test_a_reader_reads_what_is_published_and_nothing_else(cluster: Cluster, run_id: str) -> None:
    storage = "SELECT storage FROM hybridrec.publications"
    with reader(cluster) as db:
        schema = db.execute(storage).fetchall()[0][0]
    for forbidden in (
        "DELETE FROM hybridrec.publications",
        "SET default_transaction_read_only = off; DELETE FROM hybridrec.publications",
        "SET default_transaction_read_only = off; CREATE TABLE public.mine (n int)",
        f"SELECT * FROM {schema}.recommendations",
        "SELECT pg_read_file('/etc/hostname')",
    ):
        with reader(cluster) as db, pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            db.execute(forbidden)
    for database in ("airflow", "mlflow", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(reader_address(cluster).replace("/recommendations", f"/{database}"))


def test_executors_get_this_python_and_fit_together(cluster: Cluster, tmp_path: Path) -> None:
    scheduler = cluster.instances["scheduler"]
    own = {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "HYBRIDREC_HOME": str(tmp_path)}
    flags = [part for name, value in HOSTILE.items() for part in ("--conf", f"{name}={value}")]
    command = ["spark-submit", "--master", f"spark://{cluster.address('spark-master')}:7077", *flags, str(PROBE)]
    done = subprocess.run(command, env=scheduler.environment() | own, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["conf"] == RESULTS
    works = {f"services/{name}/var/lib/spark-work" for name in ("spark-worker-1", "spark-worker-2")}
    assert {str(Path(worker["folder"]).parents[1].relative_to(cluster.folder)) for worker in said["workers"]} == works
    assert all(worker["python"] == sys.executable and worker["threads"] == "1" for worker in said["workers"])
    assert all(str(ROOT) in worker["path"].split(":") for worker in said["workers"])
    together, alone = said["held_out_ndcg"]
    assert together == pytest.approx(alone, abs=0.01)

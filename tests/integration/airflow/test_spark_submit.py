"""HYBRIDREC_SPARK=submit: the same job files through spark-submit, the same outcomes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hybridrec.execution.spark import class_archive
from hybridrec.storage import store


@pytest.fixture
def local_cluster(home: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let submitted jobs run in local[2]; spark-submit is found as it is in an activated environment."""
    monkeypatch.setenv("HYBRIDREC_SPARK", "submit")
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type": "spark", "host": "local[2]"}')
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:SharedArchiveFile={class_archive()}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return home


def test_a_submitted_job_does_its_work_and_names_its_refusal(local_cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridrec_airflow.operators import JobOperator, spark_job
    from hybridrec_airflow.outcomes import JobRefused

    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "events.csv").write_text("event_id,user_id,item_id,event_type,event_at\ne1,u1,i1,click,2026-01-02T03:04:05Z\n")
    (incoming / "items.csv").write_text("item_id,title\ni1,First\ni2,Second\n")
    monkeypatch.setenv("HYBRIDREC_FILES", str(incoming))
    JobOperator(task_id="land", job="land_source", flags={"source": "files"}).execute({})

    spark_job("clean_table", source="files", table="core_items").execute({})  # type: ignore[union-attr]
    proposed = store.pending(local_cluster / "warehouse" / "files" / "core_items")
    assert proposed
    assert proposed.rows == 2
    with pytest.raises(JobRefused, match="exit code 3"):
        spark_job("clean_table", source="synthetic", table="core_items").execute({})  # type: ignore[union-attr]


def test_an_executor_that_does_not_start_is_named(local_cluster: Path) -> None:
    from hybridrec_airflow.operators import spark_job

    task = spark_job("clean_table", source="files", table="core_items")
    log = [
        "INFO StandaloneSchedulerBackend: Connected to Spark cluster with app ID app-7",
        "INFO ClientEndpoint: Executor added: app-7/0 on worker-20261122-10.0.0.4-4522 (10.0.0.4:4522) with 1 core(s)",
        "INFO ClientEndpoint: Executor added: app-7/1 on worker-20261122-10.0.0.5-4523 (10.0.0.5:4523) with 1 core(s)",
        "INFO ClientEndpoint: Executor updated: app-7/0 is now FAILED (java.io.IOException: No space left on device)",
        "INFO StandaloneSchedulerBackend: Connected to Spark cluster with app ID app-8",
    ]
    assert list(task._noted(log)) == log  # type: ignore[union-attr]
    assert task.application_id == "app-7"  # type: ignore[union-attr]
    assert task.not_started == "An executor did not start on 10.0.0.4: java.io.IOException: No space left on device"  # type: ignore[union-attr]


def test_no_server_is_started_for_submitted_jobs(local_cluster: Path) -> None:
    from hybridrec_airflow.operators import spark_server

    assert type(spark_server("start")).__name__ == "EmptyOperator"


def test_a_submitted_job_is_mapped_over_splits(local_cluster: Path) -> None:
    from hybridrec_airflow.operators import spark_job

    task = spark_job("generate_candidates", over={"split": ["ranker", "full"]}, run_id="r")
    assert task.expand_input.value == {"application_args": [["--run-id=r", "--split=ranker"], ["--run-id=r", "--split=full"]]}  # type: ignore[union-attr]

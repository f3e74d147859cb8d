"""The report is added to the night's MLflow run."""

from __future__ import annotations

from hybridrec.runs.run import Run
from tests.support.finished_night import write_report


def test_the_page_is_added_to_the_nights_mlflow_run(night: Run) -> None:
    from hybridrec.registry import mlflow_registry

    assert "MLflow has no run of this night" in write_report(night)
    client = mlflow_registry.connect(night.settings)
    experiment = client.get_experiment_by_name(mlflow_registry.NAME).experiment_id
    parent = client.create_run(experiment, tags={mlflow_registry.RUN_TAG: night.run_id}).info.run_id
    tags = {mlflow_registry.RUN_TAG: night.run_id, "mlflow.parentRunId": parent}
    child = client.create_run(experiment, tags=tags).info.run_id
    assert "added to the MLflow run" in write_report(night)
    assert [found.path for found in client.list_artifacts(parent, "report")] == ["report/report.html"]
    assert client.list_artifacts(child, "report") == []

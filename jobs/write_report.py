"""Write the run's report: one HTML page and the same figures as JSON; add the page to the night's MLflow run.

A night that stopped early has a report too; it says what is missing. --durations names a JSON file with whole
tasks' seconds by the report's name of the task, which shows what the scheduler added.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hybridrec.execution import job
from hybridrec.report.gathering.collect import collect
from hybridrec.report.pages.page import render, report_json
from hybridrec.report.summary import SUMMARY, summary_json
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    durations: Path | None = None


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    durations = json.loads(params.durations.read_text()) if params.durations else {}
    facts = collect(run, datetime.now(UTC), durations)  # it states what was true when it was written
    page = render(facts)
    with run.staged("report") as folder:
        (folder / "report.html").write_text(page)
        (folder / "report.json").write_text(report_json(facts))
        (folder / SUMMARY).write_text(summary_json(facts))
    path = run.artefact("report") / "report.html"
    log.info("%s: %d KiB, %d warnings", path, len(page) // 1024, len(facts.warnings))
    if facts.gate:  # a night that came to the gate is registered, others have no MLflow run
        log_to_mlflow(run, path)


def log_to_mlflow(run: Run, page: Path) -> None:
    """Add the page to the night's MLflow run; a tracking store that does not answer costs a warning, not the report."""
    from mlflow.exceptions import MlflowException

    from hybridrec.registry import mlflow_registry

    try:
        is_logged = mlflow_registry.log_report(run, page)
        log.info("added to the MLflow run" if is_logged else "MLflow has no run of this night")
    except (MlflowException, OSError) as error:
        log.warning("the page was not added to MLflow: %s", error)


if __name__ == "__main__":
    job.start(main, Params)

"""Write the run's report: one HTML page and the same figures as JSON; add the page to the night's MLflow run.

A night that stopped early has a report too; it says what is missing. --durations names a JSON file with whole
tasks' seconds by the report's name of the task, which shows what the scheduler added.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from hybridrec import job
from hybridrec.report.collect import collect
from hybridrec.report.page import render, report_json
from hybridrec.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    durations: Path | None = None


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    durations = json.loads(params.durations.read_text()) if params.durations else {}
    facts = collect(run, durations)
    page = render(facts)
    with run.staged("report") as folder:
        (folder / "report.html").write_text(page)
        (folder / "report.json").write_text(report_json(facts))
    log.info("%s/report.html: %d KiB, %d warnings", run.artefact("report"), len(page) // 1024, len(facts.warnings))


if __name__ == "__main__":
    job.start(main, Params)

"""Run the leak alarms over the splits that are judged, on a sample; the first one that goes off stops the night."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.evaluation import leaks
from hybridrec.execution import job
from hybridrec.runs.run import Run
from hybridrec.storage import store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    findings = leaks.check_night(run)
    with run.staged(leaks.FINDINGS) as folder:
        store.write_json(folder / leaks.FINDINGS_FILE, [finding._asdict() for finding in findings])
    for finding in findings:
        log.info("%s: %s", finding.alarm, finding.detail)


if __name__ == "__main__":
    job.start(main, Params)

"""Check the lists before they are published: broken rows, thresholds, and the difference from the live version.

A person who knows why a threshold fails may pass it with --override-reason; the reason is published with the version.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.publishing import output_checks
from hybridrec.runs.run import Run
from hybridrec.serving import lookup
from hybridrec.storage import store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    override_reason: str | None = None


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    verdict = output_checks.check_output(run, lookup.open_target(Settings.from_env()), params.override_reason)
    with run.staged("output_checks") as folder:
        store.write_json(folder / "checks.json", verdict)
    output_checks.require_passed(verdict)
    log.info("output checks passed, compared with %s, override: %s", verdict["compared_with"], verdict["override_reason"])


if __name__ == "__main__":
    job.start(main, Params)

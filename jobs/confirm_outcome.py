"""Say how a run has ended; exit code 3 unless it has published, was held by a person, or was not to publish.

The target is asked, not the run's own records: green means that readers get the run's lists.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.publishing import publish
from hybridrec.runs.run import Run
from hybridrec.serving import lookup

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    log.info("run %s: %s", run.run_id, publish.confirm_outcome(run, lookup.open_target(Settings.from_env())))


if __name__ == "__main__":
    job.start(main, Params)

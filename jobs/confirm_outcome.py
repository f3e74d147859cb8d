"""Say how a run has ended; exit code 3 unless it has published, was held by a person, or was not to publish.

The target is asked, not the run's own records: green means that readers get the run's lists.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec import job, lookup, publishing
from hybridrec.run import Run
from hybridrec.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    log.info("run %s: %s", run.run_id, publishing.confirm_outcome(run, lookup.open_target(Settings.from_env())))


if __name__ == "__main__":
    job.start(main, Params)

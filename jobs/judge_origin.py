"""One origin of a backtest: the night's jobs up to the judgement, as if the night had been `(origin - 1) * step-days` earlier.

Goes on where an earlier attempt stopped. Nothing is registered and nothing is published.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.execution import job
from hybridrec.offline.origin import judge_origin
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    origin: int
    step_days: int = 14


def main(params: Params) -> None:
    run = judge_origin(Run.open(params.run_id), params.origin, params.step_days)
    log.info("origin %d of %s: judged as of %s in run %s", params.origin, params.run_id, run.manifest.as_of, run.run_id)


if __name__ == "__main__":
    job.start(main, Params)

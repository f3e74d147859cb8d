"""Decide an experiment: everybody gets a variant (`all`), or everybody the night's own lists again (`back`).

Before a bound is crossed or the horizon is reached a reason must be given. `back` is in effect with the next look-up, `all` with the next
night.
"""

from __future__ import annotations

import getpass
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.experiments import standing
from hybridrec.experiments.analysis import why_over
from hybridrec.experiments.newest import newest_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    experiment: str
    choice: Literal["all", "back"]
    variant: str | None = None
    reason: str | None = None
    by: str | None = None


def main(params: Params) -> None:
    settings = Settings.from_env()
    target = standing.keeper(settings)
    found = [state for state in target.experiments() if state.experiment == params.experiment]
    over = why_over(newest_rows(found[0], target, settings)) if found else ""
    act = standing.Act(params.by or getpass.getuser(), params.reason or "", datetime.now(UTC))
    change = standing.decide(params.experiment, params.choice, params.variant or "", act, over, settings)
    log.info("%s", change.sentence)


if __name__ == "__main__":
    job.start(main, Params)

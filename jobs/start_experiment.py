"""Start an experiment of `<home>/experiments/<name>.toml`, as a canary of a few users or with all of its shares.

A canary that has done no harm becomes the experiment by `--phase running`. The next night makes the lists of the variants.
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

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    experiment: str
    source: str
    reason: str
    phase: Literal["canary", "running"] = "canary"
    by: str | None = None


def main(params: Params) -> None:
    act = standing.Act(params.by or getpass.getuser(), params.reason, datetime.now(UTC))
    change = standing.start(params.experiment, params.phase, act, params.source, Settings.from_env())
    log.info("%s", change.sentence)


if __name__ == "__main__":
    job.start(main, Params)

"""Make an earlier published version live again: the one named, or the newest kept one before the live one; hold publications.

A hold keeps every later run from publishing: it is computed, checked and reported, and the live version stays live until
`--action lift_hold`. Person, action, time and reason are kept in `interventions/`.
"""

from __future__ import annotations

import getpass
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hybridrec.base.config import read_config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.publishing import interventions, publish
from hybridrec.publishing.interventions import Intervention
from hybridrec.serving import lookup

log = logging.getLogger(__name__)
NO_REASON = "no reason given"


@dataclass(frozen=True)
class Params:
    version: str | None = None
    reason: str | None = None
    action: Literal["roll_back", "roll_back_and_hold", "hold", "lift_hold"] = "roll_back"
    by: str | None = None


def main(params: Params) -> None:
    settings = Settings.from_env()
    if params.action == "roll_back":
        roll_back(params, settings)
        return
    if not params.reason:
        raise PermanentError(f"--action {params.action} needs --reason, for colleagues who find publications held")
    if params.action == "roll_back_and_hold":
        note(params, settings, "hold")  # first: a night that ends meanwhile must not publish over the rollback
        roll_back(params, settings)
        return
    if params.version:
        raise PermanentError(
            f"--version {params.version}: the action {params.action} moves no version; choose roll_back or roll_back_and_hold"
        )
    note(params, settings, "hold" if params.action == "hold" else "lift")


def roll_back(params: Params, settings: Settings) -> None:
    """Switch, then keep who did it."""
    keep = read_config(settings.home / "hybridrec.toml").keep_versions
    before, after = publish.roll_back(lookup.open_target(settings), params.version, keep)
    log.info("version %s (run %s) is live again instead of %s (run %s)", after.version, after.run_id, before.version, before.run_id)
    note(params, settings, "rollback", after.version)


def note(params: Params, settings: Settings, kind: interventions.Kind, version: str = "") -> None:
    """Keep the act."""
    act = Intervention(kind, datetime.now(UTC), params.by or getpass.getuser(), params.reason or NO_REASON, version)
    interventions.record(settings, act)
    log.info("%s", act.sentence)


if __name__ == "__main__":
    job.start(main, Params)

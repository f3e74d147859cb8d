"""Record actions of people on publications: rollbacks, holds and their end, one file each, never changed.

A hold keeps every run from publishing until it is lifted. All of it lies in `interventions/` beside the runs, so that every
machine that publishes sees the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.storage import shared_files, store

Kind = Literal["rollback", "hold", "lift"]
MAX_REASON = 300


@dataclass(frozen=True)
class Intervention:
    """One act. by: who, as Airflow or the machine knows the person. version: what went live again; empty for a hold or its end."""

    kind: Kind
    at: datetime
    by: str
    reason: str
    version: str = ""

    @property
    def sentence(self) -> str:
        """Person, time and reason."""
        done = {"rollback": f"went back to {self.version}", "hold": "held publications", "lift": "lifted the hold"}[self.kind]
        return f"{self.by} {done} on {self.at:%Y-%m-%d at %H:%M} UTC: {self.reason}"


def record(settings: Settings, act: Intervention) -> None:
    """Keep an act for good; PermanentError without a reason."""
    if not 0 < len(act.reason.strip()) <= MAX_REASON:
        raise PermanentError(f"reason is {act.reason[:40]!r}; say in 1 to {MAX_REASON} characters why")
    name = f"{act.at:%Y%m%dT%H%M%S.%f}-{act.kind}.json"
    shared_files.write_text(settings.interventions / name, store.as_json(asdict(act)))


def interventions(settings: Settings) -> list[Intervention]:
    """Return all acts, newest first."""
    return [_read(settings, name) for name in reversed(shared_files.children(settings.interventions))]


def hold(settings: Settings) -> Intervention | None:
    """Return the hold that is in effect, if any."""
    names = (name for name in reversed(shared_files.children(settings.interventions)) if not name.endswith("-rollback.json"))
    newest = next(names, None)
    act = _read(settings, newest) if newest else None
    return act if act and act.kind == "hold" else None


def _read(settings: Settings, name: str) -> Intervention:
    raw = json.loads(shared_files.read_text(settings.interventions / name))
    return Intervention(**raw | {"at": datetime.fromisoformat(raw["at"])})

"""What happens when a night is late."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hybridrec.settings import Settings

log = logging.getLogger(__name__)


def note_missed_deadline(hours: float, context: Mapping[str, Any] | None = None) -> None:
    """Log that a run is late and add a line to <home>/airflow/missed_deadlines.log, which an alert may watch."""
    run = (context or {}).get("dag_run") or {}
    line = f"{run.get('dag_id')} {run.get('dag_run_id') or run.get('run_id')}: not done {hours:g} hours after it was queued"
    log.error("%s; what is live stays live until it publishes", line)
    path = Settings.from_env().home / "airflow" / "missed_deadlines.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        out.write(line + "\n")

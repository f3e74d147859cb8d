"""When a night is late, and what happens then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference

from hybridrec.base.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


class FirstQueuedAt(BaseDeadlineReference):
    """When a run was queued for the first time.

    Airflow's own DAGRUN_QUEUED_AT is moved when a task of a failed run is cleared, which in Airflow 3.3.2 ends in an error 500 and
    clears nothing: it takes the stored interval for a number.
    """

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        queued_at: datetime | None = session.scalar(select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        return queued_at


def note_missed_deadline(hours: float, context: Mapping[str, Any] | None = None) -> None:
    """Log that a run is late and add a line to <home>/airflow/missed_deadlines.log, which an alert may watch."""
    run = (context or {}).get("dag_run") or {}
    line = f"{run.get('dag_id')} {run.get('dag_run_id') or run.get('run_id')}: not done {hours:g} hours after it was queued"
    log.error("%s; the live version stays live until it publishes", line)
    path = Settings.from_env().home / "airflow" / "missed_deadlines.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        out.write(line + "\n")

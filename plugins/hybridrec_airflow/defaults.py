"""Shared settings of all DAGs: the number of retries, schedule, the deadline of a night."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, DeadlineAlert, SyncCallback

from hybridrec_airflow.deadlines import FirstQueuedAt, note_missed_deadline
from hybridrec_airflow.outcomes import RETRY_POLICY

# A hung job ends after three hours; a whole night has four.
TASK: dict[str, Any] = {
    "owner": "hybridrec",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 3,
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=3),
}
DAG: dict[str, Any] = {"catchup": False, "max_active_runs": 1, "default_args": TASK}


def daily_at(cron: str) -> CronTriggerTimetable | None:
    """Return a daily slot in UTC; None, only by hand, where HYBRIDREC_SCHEDULE is "off".

    A DAG that is unpaused waits for its next slot, unless the last one was just now: who opens the UI in the afternoon
    does not want a night to start at once. That needs a DAG without start_date.
    """
    if os.environ.get("HYBRIDREC_SCHEDULE") == "off":
        return None
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(minutes=5))


def deadline(hours: float) -> DeadlineAlert:
    """Return an alert when a run has not ended so many hours after it was queued."""
    callback = SyncCallback(note_missed_deadline, {"hours": hours})
    return DeadlineAlert(reference=FirstQueuedAt(), interval=timedelta(hours=hours), callback=callback)

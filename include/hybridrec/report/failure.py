"""Why a night came to no good end, from the records that its tasks have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec import job
from hybridrec.report.costs import step_name
from hybridrec.report.facts import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybridrec.job import TaskRecord
    from hybridrec.run import Run

HOW = {
    "bad_data": "refused its input and was not tried again",
    "failed": "failed",
    "running": "began and left no record of its end: it was killed (often for lack of memory), or is still at work",
}
NO_RECORD = (
    "No task has left a record of a failure: one ended before its job began, was marked as failed, or never started. "
    "The run in Airflow shows which."
)
KILLED = "What it said last stands only in its log."


def find_failure(run: Run) -> Failure:
    """The first failing task of a night that has failed, by its start."""
    records = [record for record in job.read_records(run.folder) if record.job != "write_report"]
    failed = [record for record in records if record.state in HOW]
    stopping = _without_tolerated(failed) or failed
    if not stopping:
        return Failure("", "", NO_RECORD, _page_of_run(records))
    first, *others = stopping
    said = first.said or (KILLED if first.state == "running" else "")
    return Failure(step_name(first), HOW[first.state], said, first.page, tuple(step_name(record) for record in others))


def _without_tolerated(failed: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Those that stop a night: it goes on without a model that fails, unless the merge of the models' nominees fails too."""
    merged = all(record.job != "generate_candidates" for record in failed)
    return [record for record in failed if record.job != "train_model" or not merged]


def _page_of_run(records: Sequence[TaskRecord]) -> str:
    """Path of the run's page in Airflow: this task's own page, or that of any other, up to the task."""
    pages = filter(None, (job.airflow_page(), *(record.page for record in records)))
    return next(pages, "").partition("/tasks/")[0]

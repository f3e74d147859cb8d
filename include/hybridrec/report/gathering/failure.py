"""Find out why a night failed, from the records that its tasks have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.execution import task_records
from hybridrec.report.facts import Failure
from hybridrec.report.gathering.costs import step_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybridrec.execution.task_records import TaskRecord
    from hybridrec.runs.run import Run

HOW = {
    "bad_data": "refused its input and was not tried again",
    "failed": "failed",
    "running": "began and left no record of its end: it was killed (often for lack of memory), or is still running",
}
NO_RECORD = (
    "No task has left a record of a failure: one ended before its job began, was marked as failed, or never started. "
    "The run in Airflow shows which."
)
NOT_OF_THE_NIGHT = {"write_report", "ablate_sources"}  # the report itself, and the study of a night that has ended
KILLED = "Its last line is only in its log."


def find_failure(run: Run) -> Failure | None:
    """Return the first failing task of a night, by its start; None if every task that a night cannot do without ended well."""
    records = _records(run)
    failed = [record for record in records if record.state in HOW]
    stopping = failed if _stopped_at_merge(records) else [record for record in failed if record.job != "train_model"]
    if not stopping:
        return None
    first, *others = stopping
    said = first.said or (KILLED if first.state == "running" else "")
    return Failure(step_name(first), HOW[first.state], said, first.page, tuple(step_name(record) for record in others))


def unknown_failure(run: Run) -> Failure:
    """Return the failure of a night that ended badly without a task that gives a reason."""
    return Failure("", "", NO_RECORD, _page_of_run(_records(run)))


def _records(run: Run) -> list[TaskRecord]:
    return [record for record in task_records.read_records(run.folder) if record.job not in NOT_OF_THE_NIGHT]


def _stopped_at_merge(records: Sequence[TaskRecord]) -> bool:
    """Return whether the night came no further than its fits: it goes on without a model that fails, if their candidates can be merged."""
    merges = {record.state for record in records if record.job == "generate_candidates"}
    return "done" not in merges or not merges.isdisjoint(HOW)


def _page_of_run(records: Sequence[TaskRecord]) -> str:
    """Return the path of the run's page in Airflow: this task's own page, or that of any other, up to the task."""
    pages = filter(None, (task_records.airflow_page(), *(record.page for record in records)))
    return next(pages, "").partition("/tasks/")[0]

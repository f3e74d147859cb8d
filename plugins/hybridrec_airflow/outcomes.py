"""Map the failures of a task to Airflow's reactions: which exit code is retried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowSkipException

from hybridrec.execution.job import EXIT_PERMANENT, EXIT_SKIPPED

if TYPE_CHECKING:
    from airflow.sdk import Context

EXIT_USAGE = 2
DONE = ("success",)
DONE_OR_SKIPPED = ("success", "skipped")


class JobRefused(Exception):
    """The job refuses its data or its command line; the same attempt would fail again."""


class JobFailed(Exception):
    """The job failed in a way that may pass: memory, network, a killed process."""


RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=JobRefused, action=RetryAction.FAIL, reason="The job refused its input: correct it, then clear the task"),
        RetryRule(exception=JobFailed, action=RetryAction.RETRY, reason="The job failed in a way that may pass"),
    ]
)


def raise_for_exit_code(job: str, code: int, tail: list[str]) -> None:
    """Turn a job's exit code into the exception that Airflow acts on; none for 0."""
    said = "\n".join(tail)
    if code == EXIT_SKIPPED:
        raise AirflowSkipException(tail[-1] if tail else f"{job} has nothing to do")
    if code in (EXIT_PERMANENT, EXIT_USAGE):
        kind = "its input" if code == EXIT_PERMANENT else "its command line"
        raise JobRefused(f"{job} refuses {kind} (exit code {code}) and is not retried; it said:\n{said}")
    if code < 0:
        raise JobFailed(f"{job} was ended by signal {-code} (9 is often a lack of memory); it said last:\n{said}")
    if code:
        raise JobFailed(f"{job} failed with exit code {code}; it said last:\n{said}")


def require_ended(context: Context, needed: Mapping[str, tuple[str, ...]]) -> None:
    """Raise JobRefused unless each of these tasks of the run has ended in one of its states, a mapped one in all its instances.

    Airflow itself calls a run that a person has marked as failed a success when what was to come is skipped: a last task that asks
    for the others' states is what turns such a run red.
    """
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(needed), run_ids=[ti.run_id]).get(ti.run_id, {})
    for task, accepted in needed.items():
        ended_in = {str(state) for name, state in states.items() if name == task or name.removeprefix(f"{task}_").isdigit()}
        if not ended_in or ended_in - set(accepted):
            ended = " and ".join(sorted(ended_in - set(accepted))) or "missing"
            raise JobRefused(
                f"the run has not come to its end: {task} is {ended}. Clear the first task that failed or was marked, with downstream"
            )

"""How a task may fail, and what Airflow does about it."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule


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

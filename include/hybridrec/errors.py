"""The two ways a job can fail: for good, or for now."""

from __future__ import annotations


class BadData(Exception):
    """The input is wrong, so a retry would fail again: exit code 3, never retried.

    The message says which table or parameter, how many rows, what was expected and what to do.
    """


class NothingPublished(BadData):
    """There is no live version to read: the first night has not published yet, or its file or schema is gone."""

    def __init__(self, place: object) -> None:
        super().__init__(
            f"{place}: nothing has been published yet; run the DAG nightly_retrain, or python -m jobs.publish_table --run-id R"
        )


class Leak(BadData):
    """A leak alarm went off: something has seen what it will be judged on, so no figure of the night can be believed."""

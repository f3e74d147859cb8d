"""Define the permanent errors of a job, which no retry can help; any other error may be transient. Also sentences for both."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class PermanentError(Exception):
    """The input is wrong, so a retry would fail again: exit code 3, never retried.

    The message says which table or parameter, how many rows, what was expected and what to do.
    """


class NothingPublished(PermanentError):
    """There is no live version to read: the first night has not published yet, or its file or schema is gone."""

    def __init__(self, target: object) -> None:
        super().__init__(
            f"{target}: nothing has been published yet; run the DAG nightly_retrain, or python -m jobs.publish_table --run-id R"
        )


class Leak(PermanentError):
    """A leak alarm went off: something has seen what it will be judged on, so no figure of the night can be believed."""


def choices(unknown: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that refuses a name: the known one that looks most like it, if any does, and all of them."""
    names = sorted(known)
    close = get_close_matches(unknown.lower(), names, n=1)
    return f"{f'did you mean {close[0]}? ' if close else ''}choose from {', '.join(names) or 'none'}"


def explain_os_error(error: OSError) -> str:
    """Return one sentence that says what to do about a failed file or network operation."""
    where = error.filename or "the disk"
    sentences = {
        errno.ENOSPC: f"no space left for {where}; free some space or move HYBRIDREC_HOME to a larger disk, then rerun the task",
        errno.EACCES: f"no permission for {where}; give this user the right to write there or move HYBRIDREC_HOME",
        errno.EROFS: f"{where} is on a read-only file system; move HYBRIDREC_HOME to a place that can be written",
        errno.EADDRINUSE: f"the port is taken ({error}); stop the process that holds it or configure another port",
    }
    return sentences.get(error.errno or 0, f"{type(error).__name__}: {error}; it may be retried")

"""Ask the publish target for its versions: when a report is written, and each time the list of runs is shown."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from hybridrec.base.settings import Settings
from hybridrec.execution.task_records import without_secrets
from hybridrec.serving.lookup import open_target
from hybridrec.versions.publications import Publication


class Answer(NamedTuple):
    """The target's versions, newest first; or why it could not be asked, in a sentence."""

    versions: tuple[Publication, ...]
    problem: str = ""


def ask_target(settings: Settings) -> Answer:
    """Return all versions of the target that the settings name. A target that does not answer is said, never raised: a page must stand."""
    try:
        with closing(open_target(settings)) as target:
            return Answer(tuple(target.versions()))
    except Exception as error:  # a target is one file of anybody's, so any error may come out of it
        said = without_secrets((str(error).splitlines() or [type(error).__name__])[0])
        return Answer((), f"The target {settings.target} could not be asked: {said}")

"""Ask the publish target for its versions: when a report is written, and each time the list of runs is shown."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from hybridrec.base.settings import Settings
from hybridrec.execution.task_records import without_secrets
from hybridrec.serving.lookup import open_target
from hybridrec.versions.publications import Publication


class TargetState(NamedTuple):
    """The target's versions, newest first; or why it could not be asked, in a sentence."""

    versions: tuple[Publication, ...]
    problem: str = ""


def ask_target(settings: Settings) -> TargetState:
    """Return all versions of the target that the settings name. An error becomes a sentence, since a page must stand."""
    try:
        with closing(open_target(settings)) as target:
            return TargetState(tuple(target.versions()))
    except Exception as error:  # a target is one file of anybody's, so any error may come out of it
        problem = without_secrets((str(error).splitlines() or [type(error).__name__])[0])
        return TargetState((), f"The target {settings.target} could not be asked: {problem}")

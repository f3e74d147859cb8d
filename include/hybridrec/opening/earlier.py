"""Find the run whose learning a new one goes on from: what strategies carry from night to night."""

from __future__ import annotations

import logging
from datetime import datetime

from hybridrec.base.config import SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.runs.run import MANIFEST, Run
from hybridrec.storage import shared_files, store

log = logging.getLogger(__name__)
LOOKED_AT = 30  # runs that were opened last: behind a month of trials there is no night to go on from
CARRIED = "strategies/adaptive_weights"


def earlier_run(source: str, as_of: datetime, split: SplitMethod, settings: Settings) -> str:
    """Return the id of the newest run of the source before as_of that has learnt; empty without one.

    It is looked up once, when a run is opened: a rerun of a task must not find another one.
    """
    names = shared_files.children(settings.runs)
    opened = shared_files.times([settings.runs / name / MANIFEST for name in names]) if names else []
    newest = sorted(((at, name) for at, name in zip(opened, names, strict=True) if at is not None), reverse=True)
    found: list[tuple[datetime, str]] = []
    for _, name in newest[:LOOKED_AT]:
        try:
            run = Run.open(name, settings)
        except (PermanentError, ValueError, KeyError) as error:  # of another release, or damaged
            log.info("run %s is not looked at: %s", name, error)
            continue
        fitting = run.manifest.source == source and run.config.split == split and run.manifest.as_of < as_of
        if fitting and store.is_committed(run.dataset(CARRIED)):
            found.append((run.manifest.as_of, name))
    return max(found)[1] if found else ""

"""Publish a run's checked tables: stage a version, check it as stored, switch the readers to it.

A rerun publishes the same version: nothing changes when it is live already. Exit code 4 when the run was opened
with --no-publish, or while a person holds publications.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.publishing import publish
from hybridrec.runs.run import Run
from hybridrec.serving import lookup

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    if not run.manifest.publish:
        raise job.Skip(f"run {run.run_id} was opened with --no-publish")
    try:
        done = publish.publish_run(run, lookup.open_target(Settings.from_env()), datetime.now(UTC))
    except publish.Held as held:
        publish.note_held(run, str(held))
        raise job.Skip(str(held)) from None
    log.info("version %s is live: %s, content hash %s", done.version, dict(done.counts), done.content_hash)


if __name__ == "__main__":
    job.start(main, Params)

"""Open a night: resolve as_of, splits, options and input files into runs/<run_id>/run.json.

Without --as-of the run sees everything up to the newest event. A second attempt finds the run and changes nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.opening.new_run import Request as Params
from hybridrec.opening.new_run import open_run

log = logging.getLogger(__name__)


def main(params: Params) -> None:
    run = open_run(params, Settings.from_env(), datetime.now(UTC))
    manifest = run.manifest
    log.info("run %s: source %s as of %s, models %s", run.run_id, manifest.source, manifest.as_of, ", ".join(manifest.models))
    for experiment in manifest.experiments:
        shares = ", ".join(f"{variant.name} {variant.share:.0%}" for variant in experiment.variants)
        log.info("experiment %s is %s: %s", experiment.name, experiment.phase, shares)
    for split in manifest.splits.values():
        log.info("split %s: trains before %s, labels until %s", split.name, split.cut, split.label_end)


if __name__ == "__main__":
    job.start(main, Params)

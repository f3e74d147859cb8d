"""Log the night to MLflow and register its whole model bundle as one version of `hybridrec`, the challenger."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.execution import job
from hybridrec.registry import mlflow_registry
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    log.info("run %s is version %s of %s", run.run_id, mlflow_registry.register(run), mlflow_registry.NAME)


if __name__ == "__main__":
    job.start(main, Params)

"""Let the challenger become champion if the holdout allows it; record the policy that ranks the lists."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.gate import judge_promotion
from hybridrec.evaluation.promotion import write_policy_of, write_promotion
from hybridrec.execution import job
from hybridrec.policy.policy import load_policy
from hybridrec.registry import mlflow_registry
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    client = mlflow_registry.connect(run.settings)
    version = mlflow_registry.version_of(client, run)
    if version is None:
        raise PermanentError(
            f"run {run.run_id}: no version of {mlflow_registry.NAME} is registered; run python -m jobs.register_model first"
        )
    with tempfile.TemporaryDirectory() as scratch:
        champion = mlflow_registry.champion_before(client, version, Path(scratch) / "champion")
        write_policy_of(run, Path(scratch) / "challenger")
        verdict = judge_promotion(run, load_policy(Path(scratch) / "challenger"), champion)
        write_promotion(run, verdict, version, champion)
    mlflow_registry.record_verdict(client, version, verdict)
    for reason in verdict.reasons:
        log.info("version %s: %s", version, reason)


if __name__ == "__main__":
    job.start(main, Params)

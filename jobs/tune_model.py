"""Search for a model's options on the training data of the ranker split and store what was found for the nights that follow.

Neither the labels of the ranker split nor those of the holdout split are looked at. Options that hybridrec.toml sets are not searched.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.base.errors import PermanentError
from hybridrec.execution import job
from hybridrec.registry import mlflow_registry
from hybridrec.runs.run import Run
from hybridrec.training import fits
from hybridrec.tuning import Budget, search, search_space, tuned

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    model: str
    trials: int = 20
    seconds: float = 600.0


def main(params: Params) -> None:
    if params.trials < 1:
        raise PermanentError(f"trials is {params.trials}, expected 1 or more: the first tries the current options")
    run = Run.open(params.run_id)
    if not search_space(params.model):
        raise job.Skip(f"model {params.model} declares no SEARCH: there is nothing to choose")
    data = fits.training_data(run, "ranker", params.model)
    options = run.config.options("models", params.model)
    budget = Budget(params.trials, params.seconds)
    result = search(params.model, data, options, budget, run.config.seed, run.config.k, fixed=tuned.set_by_hand(run, params.model))
    path = tuned.store_result(run, result, data)
    mlflow_registry.log_search(run, params.model, path)
    log.info("stored %s: %s", path, result.options or "the model's defaults")


if __name__ == "__main__":
    job.start(main, Params)

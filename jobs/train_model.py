"""Fit one base model on one fold and commit it as an artefact."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from hybridrec.base import extensions
from hybridrec.execution import job
from hybridrec.runs.run import Run
from hybridrec.training import fits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    model: str
    fold: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    extensions.member("models", params.model)  # a model or a fold that does not exist is refused before anything is read
    run.fold(params.fold)
    data = fits.training_data(run, params.fold, params.model)
    started = time.perf_counter()
    with run.staged(f"models/{params.model}", params.fold) as folder:
        metrics = fits.fit_model(params.model, data, run.config.options("models", params.model), folder)
    seconds = time.perf_counter() - started
    n_users, n_items = data.matrix.shape
    text = "fitted %s on fold %s: %d users, %d items, %d pairs, %.1f s, %s"
    log.info(text, params.model, params.fold, n_users, n_items, data.matrix.nnz, seconds, metrics)


if __name__ == "__main__":
    job.start(main, Params)

"""Fit one base model on one split and commit it as an artefact."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from hybridrec.base import extensions
from hybridrec.execution import command_line, job
from hybridrec.runs.run import Run, split_name
from hybridrec.training import decided, fits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    model: str
    split: str = command_line.renamed("fold", split_name)


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    extensions.module("models", params.model)  # a model or a split that does not exist is refused before anything is read
    run.split(params.split)
    data = fits.training_data(run, params.split, params.model)
    started = time.perf_counter()
    with run.staged(f"models/{params.model}", params.split) as folder:
        metrics = fits.fit_model(params.model, data, decided.options_of(run, params.model), folder)
    seconds = time.perf_counter() - started
    n_users, n_items = data.matrix.shape
    text = "fitted %s on split %s: %d users, %d items, %d pairs, %.1f s, %s"
    log.info(text, params.model, params.split, n_users, n_items, data.matrix.nnz, seconds, metrics)


if __name__ == "__main__":
    job.start(main, Params)

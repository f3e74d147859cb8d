"""Fit every strategy that learns on fold rank, whose labels no base model of that fold has seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.evaluation.leaks import require_past
from hybridrec.execution import job
from hybridrec.metrics.labels import labelled_pool
from hybridrec.metrics.positions import training_gains
from hybridrec.runs.run import Run
from hybridrec.storage import store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    with job.alarm_time():
        require_past(run, "rank")
    pool, labels = labelled_pool(run, "rank")
    gains = training_gains(run, "rank", pool, labels)
    for name in filter(strategies.learns, extensions.names(strategies.FOLDER)):
        strategy = strategies.create(name, run.config)
        assert isinstance(strategy, strategies.LearntStrategy)
        metrics = strategy.fit(pool, gains, run.config.seed, run.settings.threads)
        with run.staged(strategies.artefact_name(name)) as folder:
            strategy.save(folder)
            store.write_json(folder / "fit.json", {"metrics": metrics})
        log.info("fitted %s on %d users, %d rows, %d of them hits: %s", name, len(pool.users), len(gains), int((gains > 0).sum()), metrics)


if __name__ == "__main__":
    job.start(main, Params)

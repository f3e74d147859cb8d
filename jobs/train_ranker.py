"""Fit every strategy that learns on the ranker split, whose labels no base model of that split has seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.leaks import require_past
from hybridrec.execution import job, task_records
from hybridrec.metrics.labels import labelled_candidates
from hybridrec.metrics.positions import training_gains
from hybridrec.ranking.labelled import taught_mix, weigh_taught
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import LEARNT_MIX, served_users
from hybridrec.storage import store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    with task_records.alarm_time():
        require_past(run, "ranker")
    candidates, labels = labelled_candidates(run, "ranker")
    gains = training_gains(run, "ranker", candidates, labels)
    candidates = weigh_taught(candidates, gains, served_users(run), run.config.light_max_items)
    with run.staged(LEARNT_MIX) as folder:
        store.write_json(folder / "mix.json", taught_mix(candidates, gains, run.config.light_max_items))
    for name in filter(strategies.learns, extensions.names(strategies.FOLDER)):
        strategy = strategies.create(name, run.config)
        assert isinstance(strategy, strategies.LearntStrategy)
        if isinstance(strategy, strategies.CarryingStrategy):
            strategy.carry(earlier_folder(run, name))
        metrics = strategy.fit(candidates, gains, run.config.seed, run.settings.threads)
        with run.staged(strategies.artefact_name(name)) as folder:
            strategy.save(folder)
            store.write_json(folder / "fit.json", {"metrics": metrics})
        log.info(
            "fitted %s on %d users, %d rows, %d of them hits: %s", name, len(candidates.users), len(gains), int((gains > 0).sum()), metrics
        )


def earlier_folder(run: Run, name: str) -> Path | None:
    """Return what the run that this one goes on from has saved of a strategy; None if there is none, or it has been removed."""
    if not run.manifest.earlier:
        return None
    try:
        return Run.open(run.manifest.earlier, run.settings).artefact(strategies.artefact_name(name))
    except (PermanentError, store.NotCommitted) as error:
        log.warning("%s starts again: %s", name, error)
        return None


if __name__ == "__main__":
    job.start(main, Params)

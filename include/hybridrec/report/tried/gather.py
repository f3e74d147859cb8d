"""Gather the figures of arms, estimates and objective from a run."""

from __future__ import annotations

import json
from datetime import datetime

from hybridrec.exploration.draws import draws_folder, read_draws, read_state
from hybridrec.policy import boost
from hybridrec.report.tried.facts import ArmFigures, BanditFacts, ObjectiveFacts, PolicyEstimate, StrengthFigures
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.storage import store


def bandit_facts(run: Run) -> BanditFacts | None:
    """Return the figures of the run's bandit; None if it has none."""
    folder = draws_folder(run)
    if folder is None:
        return None
    draws, state = read_draws(folder), read_state(folder)
    arms = []
    for row, segment in enumerate(SEGMENTS):
        for number, arm in enumerate(draws.arms):
            figures = state["segments"][segment][arm.name]
            n_users = int(((draws.of_user == number) & (draws.segments == row)).sum())
            blend = arm.strategy or ", ".join(f"{name} {weight:g}" for name, weight in arm.weights)
            arms.append(ArmFigures(segment, arm.name, blend, figures["probability"], figures["successes"], figures["trials"], n_users))
    options = run.config.bandit
    newest = state["newest"]
    age = (run.manifest.as_of - datetime.fromisoformat(newest)).total_seconds() / 86_400 if newest else 0.0
    return BanditFacts(options.name, options.share, state["n_draws"], newest, age, tuple(arms), _estimates(run))


def _estimates(run: Run) -> tuple[PolicyEstimate, ...]:
    if not store.is_committed(run.dataset("out_ope")):
        return ()
    rows = run.read("out_ope").to_pylist()
    return tuple(PolicyEstimate(**row | {"refused": row["refused"] or ""}) for row in rows)


def objective_facts(run: Run) -> ObjectiveFacts | None:
    """Return the figures of the run's objective; None if it has none."""
    if not store.is_committed(run.dataset(boost.ARTEFACT)):
        return None
    raw = json.loads((run.artefact(boost.ARTEFACT) / boost.STATE).read_text())
    tried = tuple(StrengthFigures(**{name: float(value) for name, value in row.items()}) for row in raw["tried"])
    return ObjectiveFacts(raw["objective"], raw["metric"], raw["max_loss"], raw["strength"], tried)

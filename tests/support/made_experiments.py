"""States of experiments for tests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from hybridrec.versions.experiment_states import ExperimentState, KeepsExperiments, StateChange, StateName
from hybridrec.versions.publications import Target

AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
FILE: dict[str, Any] = {
    "hypothesis": "Without MMR people click more",
    "outcome": "clicks",
    "minimum_effect": 0.03,
    "horizon_days": 14,
    "start": "2026-11-20",
    "variants": {"control": {"share": 0.5}, "no_mmr": {"share": 0.5, "without_rules": ["mmr"]}},
}


def keeper(target: Target) -> KeepsExperiments:
    """Return the target as what it is besides."""
    return cast(KeepsExperiments, target)


def moved(target: KeepsExperiments, name: str, *states: StateName, at: datetime = AT, definition: dict[str, Any] = FILE) -> ExperimentState:
    """Take an experiment through states, from what it is now."""
    found = {state.experiment: state for state in target.experiments()}
    now = found.get(name) or ExperimentState(name, "draft", json.dumps(definition), at, at)
    for state in states:
        after = replace(now, state=state, since=at, winner="no_mmr" if state == "decided" else "")
        target.change_experiment(after, StateChange(name, at, "ann", now.state, state, f"to {state}"))
        now = after
    return now

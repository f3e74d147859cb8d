"""Read the newest analysis: the states that a run has analysed, and the newest rows of an experiment."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, cast

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.versions.experiment_states import ExperimentState, KeepsExperiments
from hybridrec.versions.publications import Target

if TYPE_CHECKING:
    from hybridrec.experiments.analysis import Row

STATES, FILE = "experiment_states", "states.json"
TABLE = "out_experiments"


def frozen_states(run: Run, target: KeepsExperiments) -> list[ExperimentState]:
    """Return the states as the run's first attempt has found them, so that a rerun analyses the same."""
    if not store.is_committed(run.dataset(STATES)):
        with run.staged(STATES) as folder:
            (folder / FILE).write_text(store.as_json([asdict(state) for state in target.experiments()]))
    return kept_states(run)


def kept_states(run: Run) -> list[ExperimentState]:
    """Return the states that the run has found; none of a run that has not looked."""
    if not store.is_committed(run.dataset(STATES)):
        return []
    raw = json.loads((run.artefact(STATES) / FILE).read_text())
    return [ExperimentState(**row | {name: datetime.fromisoformat(row[name]) for name in ("since", "started_at")}) for row in raw]


def newest_rows(state: ExperimentState, target: KeepsExperiments, settings: Settings) -> list[Row]:
    """Return the newest rows of out_experiments of an experiment since it has its state; none before the first night."""
    for publication in cast(Target, target).versions():
        try:
            run = Run.open(publication.run_id, settings)
        except PermanentError:  # the run was removed
            continue
        if store.is_committed(run.dataset(TABLE)):
            rows = [row for row in run.read(TABLE).to_pylist() if row["experiment"] == state.experiment and row["since"] >= state.since]
            if rows:
                return cast("list[Row]", rows)
    return []

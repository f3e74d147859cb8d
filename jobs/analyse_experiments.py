"""Compare the variants of experiments on the feedback of the run; send a canary back that surely hurts.

Without experiments and without feedback the table is empty. The states that were analysed are kept with the run, so a rerun gives the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from hybridrec.execution import job
from hybridrec.experiments import standing
from hybridrec.experiments.analysis import analyse, harm
from hybridrec.experiments.newest import TABLE, frozen_states
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    target = standing.keeper(run.settings)
    states = frozen_states(run, target)
    run.write(TABLE, analyse(run, states))
    rows = run.read(TABLE).to_pylist()
    for row in rows:
        log.info("experiment %s, %s: %s; %s", row["experiment"], row["variant"], row["verdict"], row["sentence"])
    by_name = {state.experiment: state for state in target.experiments()}
    for state in states:
        reason = harm([row for row in rows if row["experiment"] == state.experiment])
        if reason and by_name[state.experiment] == state:  # a person may have decided meanwhile
            log.warning("%s", standing.send_back(state, f"canary of run {run.run_id}: {reason}", datetime.now(UTC), target).sentence)


if __name__ == "__main__":
    job.start(main, Params)

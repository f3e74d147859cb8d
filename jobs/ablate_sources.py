"""Leave each model out of a run's candidates, fit and evaluate every strategy again: the full contribution of each model.

Replaces the rows of an earlier study in out_ablation; those of the night stay. Without --sources every model is left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.ablation import ablate_fully, as_columns
from hybridrec.execution import job
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.tables import table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    sources: tuple[str, ...] = ()


def main(params: Params) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    run = Run.open(params.run_id)
    if not store.is_committed(run.dataset("out_ablation")):
        raise PermanentError(
            f"run {run.run_id} was never judged, so there is nothing to study; choose one whose report has figures of quality"
        )
    before = run.read("out_ablation")
    ablations = ablate_fully(run, extensions.names(strategies.FOLDER), params.sources, run.settings.threads)
    study = pa.Table.from_pylist(as_columns(ablations), table("out_ablation").arrow_schema())
    run.write("out_ablation", pa.concat_tables([before.filter(pc.equal(before["scope"], "night")), study]))
    for row in ablations:
        marginal = f"{row.metric} {row.marginal_ndcg:+.4f} [{row.low:+.4f}, {row.high:+.4f}]"
        log.info("%s in %s: %s, %d unique hits", row.source, row.strategy, marginal, row.unique_hits)


if __name__ == "__main__":
    job.start(main, Params)

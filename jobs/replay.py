"""Compare what was served since a run's as_of with what the run would have answered; writes out_replay of the run.

Without --all only answers after the run's as_of are compared: the run has seen what came of earlier ones. --feedback-run: a
later run, whose model_feedback knows the clicks on them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.execution import job
from hybridrec.exploration.outcomes import FEEDBACK
from hybridrec.off_policy.replay import SERVED, replay
from hybridrec.runs.run import Run
from hybridrec.storage import store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset as ds

log = logging.getLogger(__name__)
LOG = "core_served"


@dataclass(frozen=True)
class Params:
    run_id: str
    all: bool = False
    feedback_run: str = ""


def main(params: Params) -> None:
    import pyarrow.dataset as ds

    run = Run.open(params.run_id)
    lists = run.read("out_recommendations", columns=["user_id", "item_ids"])
    served = served_log(run)
    wanted = ds.field("surface") == DEFAULT_SURFACE  # the run's other surfaces have other lists
    wanted = wanted if params.all else wanted & _served_at(run)
    rows = replay(served.to_batches(columns=list(SERVED), filter=wanted), lists, clicks_of(Run.open(params.feedback_run or run.run_id)))
    if not rows.num_rows:
        raise PermanentError(f"replay: nothing was served after {run.manifest.as_of}, the as_of of run {run.run_id}; use --all, or wait")
    run.write("out_replay", rows)
    for row in rows.to_pylist():
        text = "version %s, %s: %d answers, %d of them to users of the run; equal %.1f %%, first item %.1f %%, overlap %.3f"
        shares = (100 * row["share_equal"], 100 * row["share_first"], row["overlap"])
        log.info(text, row["version"], row["surface"], row["n_answers"], row["n_known"], *shares)


def served_log(run: Run) -> ds.Dataset:
    """Return what ingest has landed of the served log; PermanentError without any."""
    import pyarrow.dataset as ds

    folder = run.settings.warehouse(run.manifest.source) / LOG
    if not store.is_committed(folder):
        raise PermanentError(f"{LOG} of source {run.manifest.source}: nothing that was served has been landed; run the DAG ingest first")
    return ds.dataset([str(path) for path in store.committed_files(folder)], format="parquet", partitioning=None)


def clicks_of(run: Run) -> pd.DataFrame | None:
    """Return recommendation_id and item_id of the clicks that the run knows of; None without feedback."""
    import pyarrow.dataset as ds

    if not store.is_committed(run.dataset(FEEDBACK)):
        return None
    data = ds.dataset(run.files(FEEDBACK), format="parquet", partitioning=None)
    clicks: pd.DataFrame = data.to_table(columns=["recommendation_id", "item_id"], filter=ds.field("clicked")).to_pandas()
    return clicks


def _served_at(run: Run) -> ds.Expression:
    import pyarrow as pa
    import pyarrow.dataset as ds

    return ds.field("served_at") >= pa.scalar(run.manifest.as_of, pa.timestamp("us", tz="UTC"))


if __name__ == "__main__":
    job.start(main, Params)

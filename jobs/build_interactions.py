"""Number users and items and build each fold's interaction matrix and labels from the core tables."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from hybridrec.base.errors import BadData
from hybridrec.dataset import catalogue, interactions
from hybridrec.execution import job, spark
from hybridrec.metrics import positions
from hybridrec.runs.run import Fold, Run
from hybridrec.splitting import likes, splits
from hybridrec.tables import table

HISTORY_MIB = 2  # some hundred thousand pairs: later jobs read the histories of some users at a time


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    session = spark.session()
    with job.spark_time():
        known = run.read_spark(session, "core_events").where(F.col("event_at") < F.lit(run.manifest.as_of))
        users = interactions.number_users(known, run.read_spark(session, "core_users"))
        items = interactions.number_items(known, run.read_spark(session, "core_items"))
        run.write_spark("model_users", users.coalesce(1).sortWithinPartitions("user_idx"))
        run.write_spark("model_items", items.coalesce(1).sortWithinPartitions("item_idx"))
        events = interactions.positive_events(session, run).persist()
        low = interactions.low_ratings(session, run)
        for fold in run.manifest.folds.values():
            disliked = None if low is None else interactions.as_declared(likes.disliked_pairs(low, events, fold), table("model_disliked"))
            if disliked is not None:
                run.write_spark("model_disliked", interactions.in_files(disliked, "user_idx", run), fold.name)
            pairs = interactions.interactions(events, fold, run.config)
            run.write_spark("model_interactions", interactions.in_files(pairs, "user_idx", run), fold.name, HISTORY_MIB)
            if fold.label_end is not None:
                found = interactions.labels(events, fold, run.config, interactions.n_rows(run, "model_users"), disliked)
                _write_labels(run, events, found, fold)
        if positions.shows_lists(run):
            shown = positions.count_shown(run.read_spark(session, "core_events"), run.fold("rank"))
            run.write("model_positions", positions.examine(shown.toArrow()), "rank")
    catalogue.keep_learnt_categories(run)


def _write_labels(run: Run, events: DataFrame, found: DataFrame, fold: Fold) -> None:
    try:
        run.write_spark("model_labels", interactions.in_files(found, "user_idx", run), fold.name)
    except BadData:
        if found.isEmpty():  # asked only now: an honest night need not count its labels beforehand
            raise splits.no_labels(events, fold, run.config) from None
        raise


if __name__ == "__main__":
    job.start(main, Params)

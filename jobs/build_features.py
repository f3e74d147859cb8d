"""Compute user and item features of every fold as of its cut; those of a sample twice, for the leak alarms."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from hybridrec.dataset import features, interactions
from hybridrec.evaluation import leaks
from hybridrec.execution import job, spark
from hybridrec.metrics.labels import load_labels
from hybridrec.runs.run import Fold, Run


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    session = spark.session()
    with job.spark_time():
        events = interactions.positive_events(session, run).persist()
        for fold in run.manifest.folds.values():
            users = features.user_features(events, fold)
            items = features.item_features(events, fold)
            run.write_spark("model_user_features", interactions.in_files(users, "user_idx", run), fold.name)
            run.write_spark("model_item_features", interactions.in_files(items, "item_idx", run), fold.name)
            if fold.label_end is not None:
                with job.alarm_time():
                    _keep_recomputed(run, events, fold)


def _keep_recomputed(run: Run, events: DataFrame, fold: Fold) -> None:
    """Leave what a leak alarm holds the features against, see check_leaks."""
    sampled = leaks.sample_users(load_labels(run, fold.name), leaks.RECOMPUTED_USERS, run.config.seed)
    of_users, of_items = features.recomputed(events, run, fold, sampled.tolist())
    with run.staged(leaks.RECOMPUTED, fold.name) as folder:
        pq.write_table(of_users.toArrow(), folder / "user.parquet")
        pq.write_table(of_items.toArrow(), folder / "item.parquet")


if __name__ == "__main__":
    job.start(main, Params)

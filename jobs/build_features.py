"""Compute user and item features of every split as of its cut; those of a sample twice, for the leak alarms."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from hybridrec.dataset import features, impressions, interactions
from hybridrec.evaluation import leaks
from hybridrec.execution import job, spark, task_records
from hybridrec.metrics.labels import load_labels, sample_users
from hybridrec.runs.run import Run
from hybridrec.training import decided


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    session = spark.session()
    with task_records.spark_time():
        events = interactions.positive_events(session, run).persist()
        shown = impressions.numbered(session, run) if impressions.has_some(run) else None
        for split in run.manifest.splits.values():
            users = features.user_features(events, split)
            items = features.item_features(events, split, run.manifest.window_hours)
            run.write_spark("model_user_features", interactions.in_files(users, "user_idx", run), split.name)
            run.write_spark("model_item_features", interactions.in_files(items, "item_idx", run), split.name)
            if run.manifest.repeats:
                repeats = features.item_repeats(run.read_spark(session, "model_interactions", split.name))
                run.write_spark("model_repeats", interactions.in_files(repeats, "item_idx", run), split.name)
            if shown is not None:
                _write_shown(run, session, impressions.shown_pairs(shown, events, split), split.name)
        with task_records.alarm_time():
            _keep_recomputed(run, events)
    decided.keep_decisions(run)


def _write_shown(run: Run, session: SparkSession, pairs: DataFrame, split: str) -> None:
    """Write which pairs were shown and not taken, and how many users of each item took it."""
    run.write_spark("model_shown", interactions.in_files(pairs, "user_idx", run), split)
    of_items = impressions.shown_items(run.read_spark(session, "model_shown", split))
    run.write_spark("model_item_shown", interactions.in_files(of_items, "item_idx", run), split)


def _keep_recomputed(run: Run, events: DataFrame) -> None:
    """Leave what a leak alarm holds the features against, see check_leaks."""
    judged = [name for name in run.splits if run.split(name).label_end is not None]
    users: dict[str, list[int]] = {}
    for name in judged:
        users[name] = sample_users(load_labels(run, name), leaks.RECOMPUTED_USERS, run.config.seed).tolist()
    for split, (of_users, of_items) in features.recomputed(events, run, users).items():
        with run.staged(leaks.RECOMPUTED, split) as folder:
            pq.write_table(of_users, folder / "user.parquet")
            pq.write_table(of_items, folder / "item.parquet")


if __name__ == "__main__":
    job.start(main, Params)

"""Number users and items and build each split's interaction matrix and labels from the core tables."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from hybridrec.base.errors import PermanentError
from hybridrec.dataset import catalogue, interactions, orders
from hybridrec.execution import job, spark, task_records
from hybridrec.feedback import figures, outcomes
from hybridrec.metrics import positions
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import held_out, likes, purposes, visits
from hybridrec.tables import table

HISTORY_MIB = 2  # some hundred thousand pairs: later jobs read the histories of some users at a time


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    session = spark.session()
    with task_records.spark_time():
        known = run.read_spark(session, "core_events").where(F.col("event_at") < F.lit(run.manifest.as_of))
        users = interactions.number_users(known, run.read_spark(session, "core_users"))
        items = interactions.number_items(known, run.read_spark(session, "core_items"))
        run.write_spark("model_users", users.coalesce(1).sortWithinPartitions("user_idx"))
        run.write_spark("model_items", items.coalesce(1).sortWithinPartitions("item_idx"))
        if run.manifest.vectors:
            vectors = interactions.item_vectors(run.read_spark(session, "model_items"), run.read_spark(session, "core_items"))
            run.write_spark("model_item_vectors", vectors.coalesce(1).sortWithinPartitions("item_idx"))
        events = interactions.positive_events(session, run).persist()
        low = interactions.low_ratings(session, run)
        for split in run.manifest.splits.values():
            disliked = None if low is None else interactions.as_declared(likes.disliked_pairs(low, events, split), table("model_disliked"))
            if disliked is not None:
                run.write_spark("model_disliked", interactions.in_files(disliked, "user_idx", run), split.name)
            pairs = interactions.interactions(events, split, run.config)
            run.write_spark("model_interactions", interactions.in_files(pairs, "user_idx", run), split.name, HISTORY_MIB)
            if run.manifest.event_types:
                visited = interactions.as_declared(visits.visited(events, split), table(visits.TABLE))
                run.write_spark(visits.TABLE, interactions.in_files(visited, "user_idx", run), split.name)
            had = _write_had(run, session, events, split) if run.manifest.repeats else None
            if split.label_end is not None:
                n_users, full = interactions.n_rows(run, "model_users"), run.manifest.splits.get("full")
                labels = interactions.labels(events, split, run.config, n_users, disliked, had, full)
                _write_labels(run, events, labels, split)
        if (bought := interactions.bought_events(session, run)) is not None:
            of_orders = interactions.as_declared(orders.orders(bought, run.config.split == "time"), table(orders.TABLE))
            run.write_spark(orders.TABLE, interactions.in_files(of_orders, "user_idx", run))
        if outcomes.has_lists(run):
            run.write_spark(outcomes.TABLE, outcomes.of_run(session, run))
            figures.keep_figures(session, run)
        if positions.shows_lists(run):
            shown = positions.count_shown(positions.shown_events(session, run), run.split("ranker"))
            run.write("model_positions", positions.examine(shown.toArrow()), "ranker")
    catalogue.keep_learnt_categories(run)


def _write_had(run: Run, session: SparkSession, events: DataFrame, split: Split) -> DataFrame:
    had = purposes.had_pairs(events, run.read_spark(session, "model_items"), split, run.config)
    pairs = interactions.as_declared(had, table(purposes.TABLE))
    run.write_spark(purposes.TABLE, interactions.in_files(pairs, "user_idx", run), split.name)
    return run.read_spark(session, purposes.TABLE, split.name)


def _write_labels(run: Run, events: DataFrame, labels: DataFrame, split: Split) -> None:
    try:
        run.write_spark("model_labels", interactions.in_files(labels, "user_idx", run), split.name)
    except PermanentError:
        if labels.isEmpty():  # asked only now: an honest night need not count its labels beforehand
            raise held_out.no_labels(events, split, run.config) from None
        raise


if __name__ == "__main__":
    job.start(main, Params)

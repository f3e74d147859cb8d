"""Merge every retriever's candidates into one candidate set per user of a split, each pair scored by every model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.base import extensions
from hybridrec.candidates import candidate_blocks
from hybridrec.execution import command_line, job, spark, task_records
from hybridrec.runs.run import Run, split_name
from hybridrec.splitting import held_out, likes, purposes
from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
# A worker loads every model and its libraries first, some four seconds: few tasks of many users, of 300 pairs each.
PAIRS_OF_ONE_WORKER = 600_000
PAIRS_PER_FILE = 6_000_000


@dataclass(frozen=True)
class Params:
    run_id: str
    split: str = command_line.renamed("fold", split_name)


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    run.split(params.split)
    choice = candidate_blocks.choose_models(run)
    if choice.missing:
        log.warning("split %s goes without %s: not fitted on all splits", params.split, ", ".join(choice.missing))
    session = spark.session()
    fitted = candidate_blocks.fitted_models(run, params.split, choice.used)
    with task_records.spark_time():
        run.write_spark("model_candidates", candidates(session, run, params.split, fitted), params.split)
    with run.staged("candidate_sources", params.split) as folder:
        store.write_json(folder / "sources.json", choice._asdict())
    rows = store.read_manifest(run.dataset("model_candidates", params.split)).rows
    log.info("merged %d pairs of split %s from %d models", rows, params.split, len(choice.used))


def candidates(session: SparkSession, run: Run, split: str, fitted: candidate_blocks.FittedModels) -> DataFrame:
    """Return model_candidates of a split, a file for each range of users.

    The number of files depends on users and options alone, so that a rerun gives the same files.
    """
    from pyspark.sql import functions as F

    n_users = store.read_manifest(run.dataset("model_users")).rows
    n_wanted = n_users if run.split(split).label_end is None else min(n_users, run.config.max_label_users)
    n_pairs = n_wanted * run.config.pool_size
    n_files = (1 if n_pairs <= PAIRS_OF_ONE_WORKER else 2) + n_pairs // PAIRS_PER_FILE
    file = F.floor(F.col("user_idx").cast("bigint") * n_files / n_users)  # neighbours share one: ranking reads file by file
    ordered = histories(session, run, split).repartitionById(n_files, file.cast("int")).sortWithinPartitions("user_idx")

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return candidate_blocks.candidate_batches(
            batches, fitted
        )  # carries names, paths and the catalogue: workers map the models themselves

    return ordered.mapInArrow(extensions.with_local_extensions(of_partition), candidate_blocks.candidates_ddl(fitted.names, fitted.ordered))


def histories(session: SparkSession, run: Run, split: str) -> DataFrame:
    """Return user_idx, items, weights, days, disliked of the users who need a candidate set; empty lists for a user without history.

    had: what no list may hold, only if that is not all of the history.
    """
    from pyspark.sql import functions as F

    pairs = run.read_spark(session, "model_interactions", split)
    days = held_out.age_days(F.col("last_event_at"), run.split(split)).cast("float").alias("days")
    pairs = pairs.select("user_idx", F.struct("item_idx", "weight", days).alias("pair"))
    lists = pairs.groupBy("user_idx").agg(F.array_sort(F.collect_list("pair")).alias("pairs"))
    joined = wanted_users(session, run, split).join(lists, "user_idx", "left")
    kept_out = {"disliked": likes.TABLE} | ({"had": purposes.TABLE} if run.manifest.repeats else {})
    for name, table in kept_out.items():
        joined = joined.join(_items_of_users(session, run, split, table, name), "user_idx", "left")
    return joined.select(
        "user_idx",
        F.coalesce(F.col("pairs.item_idx"), F.array().cast("array<int>")).alias("items"),
        F.coalesce(F.col("pairs.weight"), F.array().cast("array<float>")).alias("weights"),
        F.coalesce(F.col("pairs.days"), F.array().cast("array<float>")).alias("days"),
        *(F.coalesce(name, F.array().cast("array<int>")).alias(name) for name in kept_out),
    )


def _items_of_users(session: SparkSession, run: Run, split: str, table: str, column: str) -> DataFrame:
    """Return user_idx and a column with the user's items in a table of pairs, which need not exist."""
    from pyspark.sql import functions as F

    if not store.is_committed(run.dataset(table, split)):
        return session.createDataFrame([], f"user_idx int, {column} array<int>")
    return run.read_spark(session, table, split).groupBy("user_idx").agg(F.array_sort(F.collect_list("item_idx")).alias(column))


def wanted_users(session: SparkSession, run: Run, split: str) -> DataFrame:
    """Return user_idx of all users on the full split; only users with labels on the evaluated splits."""
    if run.split(split).label_end is None:
        return run.read_spark(session, "model_users").select("user_idx")
    return run.read_spark(session, "model_labels", split).select("user_idx").distinct()


if __name__ == "__main__":
    job.start(main, Params)

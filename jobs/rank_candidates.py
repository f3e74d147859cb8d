"""Rank the final fold's candidates of all users by the policy that the gate has let through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec import job, spark, store
from hybridrec.ranking.lists import BLOCK_USERS, Depth, Ranking, rank_batches
from hybridrec.ranking.pool import feature_files
from hybridrec.run import Run
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

ROWS_PER_PARTITION = 2_000_000


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    session = spark.session()
    with job.spark_time():
        ranked = rank(run, run.read_spark(session, "model_candidates", "final"))
        run.write_spark("model_ranked", ranked)


def rank(run: Run, candidates: DataFrame) -> DataFrame:
    """model_ranked; whole blocks of neighbouring users share a partition, so that a block reads one range of the features."""
    from pyspark.sql import functions as F

    ranking = Ranking(
        files=feature_files(run, "final"),
        policy=run.artefact("promotion") / "policy",
        depth=Depth(run.config.rules_depth, run.config.k),
        extensions=os.environ.get("HYBRIDREC_EXTENSIONS", ""),
    )

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return rank_batches(batches, ranking)

    n_rows = store.read_manifest(run.dataset("model_candidates", "final")).rows
    n_partitions = max(2 * run.settings.threads, n_rows // ROWS_PER_PARTITION)
    blocks = candidates.repartition(n_partitions, F.floor(F.col("user_idx") / BLOCK_USERS))
    return blocks.sortWithinPartitions("user_idx", "item_idx").mapInArrow(of_partition, table("model_ranked").spark_ddl())


if __name__ == "__main__":
    job.start(main, Params)

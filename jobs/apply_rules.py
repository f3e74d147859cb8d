"""Turn ranked rows into published lists: rules, the fallback tiers, sentences; and the tables beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from hybridrec.assignment.variants import PLAIN_SURFACE
from hybridrec.base import extensions
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.execution import job, spark, task_records
from hybridrec.experiments.run_variants import ARTEFACT, any_differs, variant_strategies
from hybridrec.policy.ranked_lists import BLOCK_USERS
from hybridrec.reranking.inputs import read_items, write_inputs
from hybridrec.reranking.popular import popular_items, popularity
from hybridrec.reranking.published_lists import inputs_of, list_batches, list_of_anybody
from hybridrec.reranking.similar import similar_items
from hybridrec.reranking.variant_lists import BY_VARIANT, variant_batches
from hybridrec.runs.run import Run
from hybridrec.side_tables.made import write_tables
from hybridrec.storage import store
from hybridrec.tables import spark_type, table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

BLOCKS_PER_PARTITION = 40  # 10,000 users with 200 rows each: some 100 MB of shuffle


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    with run.staged("list_inputs") as folder:
        neighbours = write_inputs(run, folder)
    items = read_items(run)
    run.write("out_similar_items", similar_items(neighbours, items, run.config.k))
    run.write("out_popular_items", popular_items(popularity(run.read("model_item_features", "full"), len(items)), items))
    run.write("out_items", run.read("model_items", columns=["item_id", "title", "categories", "is_available"]))
    write_tables(run, items)
    session = spark.session()
    with task_records.spark_time():
        run.write_spark("out_recommendations", lists(run, session))
        if run.config.surfaces or any_differs(run.manifest.experiments):
            run.write_spark("out_surface_lists", surface_lists(run, session))


def surface_lists(run: Run, session: SparkSession) -> DataFrame:
    """Return out_surface_lists: the night's own lists of users with a variant, then of each surface the list of anybody and the users'."""
    parts = [lists(run, session, PLAIN_SURFACE)] if any_differs(run.manifest.experiments) else []
    for surface in sorted(run.config.surfaces):
        anybody = list_of_anybody(inputs_of(run, run.artefact("list_inputs"), surface), surface)
        parts += [session.createDataFrame(anybody.to_pylist(), table("out_surface_lists").spark_ddl()), lists(run, session, surface)]
    return reduce(lambda above, below: above.unionByName(below), parts)


def lists(run: Run, session: SparkSession, surface: str = DEFAULT_SURFACE) -> DataFrame:
    """Return the lists of a surface; partitions are ranges of users in order, so that the files together are in the order of the key."""
    from pyspark.sql import functions as F

    ranked = run.read_spark(session, "model_ranked")
    users = run.read_spark(session, "model_users").select("user_idx", "user_id")
    kinds = {column.name: spark_type(column.type) for column in table("model_ranked").columns if column.name != "user_idx"}
    marked = users.select("*", *(F.lit(None).cast(kind).alias(name) for name, kind in kinds.items()))
    rows = marked.unionByName(ranked.withColumn("user_id", F.lit(None).cast("string")))
    n_users = store.read_manifest(run.dataset("model_users")).rows
    n_blocks = -(-n_users // BLOCK_USERS)
    blocks_each = min(BLOCKS_PER_PARTITION, -(-n_blocks // 2))
    folder = run.artefact("list_inputs")
    of_users = run.artefact(ARTEFACT) if run.manifest.experiments and surface in (DEFAULT_SURFACE, PLAIN_SURFACE) else None
    if of_users:
        rows = with_variant_rows(run, session, rows)

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if of_users:
            return variant_batches(batches, run, folder, of_users, plain=surface == PLAIN_SURFACE)
        return list_batches(batches, run, folder, surface)

    made = table("out_recommendations" if surface == DEFAULT_SURFACE else "out_surface_lists")

    return (
        rows.repartitionById(-(-n_blocks // blocks_each), F.floor(F.col("user_idx") / (BLOCK_USERS * blocks_each)).cast("int"))
        .sortWithinPartitions("user_idx", F.col("item_idx").asc_nulls_first())
        .mapInArrow(extensions.with_local_extensions(of_partition), made.spark_ddl())
    )


def with_variant_rows(run: Run, session: SparkSession, rows: DataFrame) -> DataFrame:
    """Return the rows with those that strategies of variants have ranked, told apart by BY_VARIANT."""
    from pyspark.sql import functions as F

    marked = rows.withColumn(BY_VARIANT, F.lit(False))
    if not variant_strategies(run.manifest.experiments):
        return marked
    by_variant = run.read_spark(session, "model_variant_ranked").withColumn("user_id", F.lit(None).cast("string"))
    return marked.unionByName(by_variant.withColumn(BY_VARIANT, F.lit(True)))


if __name__ == "__main__":
    job.start(main, Params)

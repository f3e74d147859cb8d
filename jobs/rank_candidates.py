"""Rank the full split's candidates of all users by the policy that the gate has let through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base import extensions
from hybridrec.candidates.candidate_set import feature_files
from hybridrec.execution import job, spark, task_records
from hybridrec.experiments.run_variants import ranked_by_variant, strategy_users, variant_strategies, write_groups
from hybridrec.exploration.draws import draws_folder, write_draws
from hybridrec.off_policy.estimates import night_estimates
from hybridrec.policy.boost import boost_folder
from hybridrec.policy.policy import loadable_strategies
from hybridrec.policy.ranked_lists import Depth, Ranking, rank_files
from hybridrec.policy.variants import rank_variant_files
from hybridrec.runs.run import Run
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

EXPLAINED = 3  # rows of a list whose scores are taken apart: of all twenty it took longer than to score a whole candidate set


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    of_users = write_groups(run)
    taken = ranked_by_variant(run, of_users) if of_users else None
    write_draws(run, retrievers_of(run), loadable_strategies(run.artefact("promotion") / "policy"), taken)
    if run.config.bandit.arms:
        run.write("out_ope", night_estimates(run))
    session = spark.session()
    with task_records.spark_time():
        run.write_spark("model_ranked", rank(session, run))
        if of_users and (names := variant_strategies(run.manifest.experiments)):
            run.write_spark("model_variant_ranked", rank_variants(session, run, names, of_users))


def rank(session: SparkSession, run: Run) -> DataFrame:
    """Return model_ranked, a partition for each file of candidates.

    Workers read the files themselves: a candidate set has some sixty columns, which Spark would turn into rows and back, and each
    file holds all rows of a range of users, so there is nothing to shuffle.
    """
    ranking = ranking_of(run)
    files = run.files("model_candidates", "full")

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from rank_files([files[number] for number in batch["id"].to_pylist()], ranking)

    return session.range(0, len(files), 1, len(files)).mapInArrow(
        extensions.with_local_extensions(of_partition), table("model_ranked").spark_ddl()
    )


def rank_variants(session: SparkSession, run: Run, names: tuple[str, ...], of_users: Path) -> DataFrame:
    """Return model_variant_ranked: of each strategy the users whose variant it ranks."""
    ranking = ranking_of(run)
    files = run.files("model_candidates", "full")

    def of_strategy(name: str) -> DataFrame:
        def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                chosen = [files[number] for number in batch["id"].to_pylist()]
                yield from rank_variant_files(chosen, ranking, name, strategy_users(of_users, name))

        ranged = session.range(0, len(files), 1, len(files))
        return ranged.mapInArrow(extensions.with_local_extensions(of_partition), table("model_variant_ranked").spark_ddl())

    return reduce(lambda above, below: above.unionByName(below), map(of_strategy, names))


def ranking_of(run: Run) -> Ranking:
    """Return the input of the workers."""
    return Ranking(
        files=feature_files(run, "full"),
        policy=run.artefact("promotion") / "policy",
        depth=Depth(run.config.rules_depth, EXPLAINED),
        draws=draws_folder(run),
        boost=boost_folder(run),
    )


def retrievers_of(run: Run) -> list[str]:
    """List the models that retrieved candidates on the full split."""
    import pyarrow.parquet as pq

    names = pq.read_schema(run.files("model_candidates", "full")[0]).names
    return [name.removeprefix("rank_") for name in names if name.startswith("rank_")]


if __name__ == "__main__":
    job.start(main, Params)

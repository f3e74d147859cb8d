"""Compute user and item features of every fold as of its cut."""

from __future__ import annotations

from dataclasses import dataclass

from hybridrec import features, interactions, job, spark
from hybridrec.run import Run


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


if __name__ == "__main__":
    job.start(main, Params)

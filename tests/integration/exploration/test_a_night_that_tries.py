"""A night with arms and places of exploration, from the ranking job to the published rows; one without is the same as before."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.assignment.buckets import in_layer
from hybridrec.base.trying import Bandit, Exploration
from hybridrec.exploration.draws import NO_ARM, load_draws
from hybridrec.reranking.inputs import write_inputs
from hybridrec.runs.run import MANIFEST, Run
from hybridrec.storage import shared_files, store
from jobs import apply_rules, rank_candidates, replay
from tests.support import feedback_rows, listed_run, small_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARMS = {"content": "content=1", "people": "item_knn=2,popularity=0.5", "stack": "stacking"}
CHANCES = {"light": {"content": 0.1, "people": 0.1, "stack": 0.4}, "heavy": {"content": 0.4, "people": 0.1, "stack": 0.1}}
COLUMNS = ["experiment", "variant", "arm", "arm_probability", "slot_probabilities"]


def with_options(run: Run, **groups: object) -> Run:
    """Return the run with other options, also for the jobs that open it."""
    manifest = replace(run.manifest, config=replace(run.config, **groups))  # type: ignore[arg-type]
    shared_files.write_text(run.folder / MANIFEST, store.as_json(asdict(manifest)))
    return Run.open(run.run_id)


def made(spark: SparkSession, run: Run, policy: Path) -> pd.DataFrame:
    """Return the lists of the run after its two jobs."""
    with run.staged("promotion") as folder:
        shutil.copytree(policy, folder / "policy")
    rank_candidates.main(rank_candidates.Params(run.run_id))
    with run.staged("list_inputs") as folder:
        write_inputs(run, folder)
    run.write_spark("out_recommendations", apply_rules.lists(run, spark))
    return run.read("out_recommendations").to_pandas().set_index("user_id")


def test_rows_follow_the_arms_and_a_rerun_is_the_same(spark: SparkSession, small_run: Run, policy_folder: Path) -> None:
    plain = made(spark, small_run, policy_folder)
    assert plain[COLUMNS].isna().all().all()
    even = {segment: dict.fromkeys(ARMS, 1 / 3) for segment in CHANCES}
    uncapped = {"rules": {"category_cap": {"max_share": 3.0}}}  # otherwise no rows are left to draw from
    tried = {"bandit": Bandit(arms=ARMS, share=0.6), "exploration": Exploration(positions=[4])}
    trying = with_options(small_run, **tried, k=6, extension_options=uncapped)
    feedback_rows.commit(trying, feedback_rows.of_draws(CHANCES, even, 300, 2, seed=4, until=small_world.AS_OF))
    found = made(spark, trying, policy_folder)
    digest = store.read_manifest(trying.dataset("out_recommendations")).content_hash
    draws = load_draws(trying)
    assert draws is not None
    served = draws.of_user != NO_ARM
    assert 0 < served.sum() < in_layer("bandit", found.index).sum()
    np.testing.assert_array_equal(found.arm.notna().to_numpy(), served)
    for user, row in enumerate(found.itertuples()):
        if served[user]:
            assert row.arm == f"{row.segment}:{draws.arms[draws.of_user[user]].name}", "the segment is that of the row"
            assert row.strategy == draws.arms[draws.of_user[user]].list_name
            assert row.arm_probability == pytest.approx(draws.probabilities[user])
    assert found.slot_probabilities.notna().sum() > 20
    assert trying.read("out_ope").num_rows > 0
    made(spark, trying, policy_folder)
    assert store.read_manifest(trying.dataset("out_recommendations")).content_hash == digest
    without = with_options(trying, bandit=Bandit(), exploration=Exploration(), k=10, extension_options={})
    shutil.rmtree(without.dataset("bandit"))
    pd.testing.assert_frame_equal(made(spark, without, policy_folder), plain)


def test_replay_compares_what_was_landed(small_run: Run) -> None:
    run = listed_run.add_lists(listed_run.add_ranked(small_run))
    lists = run.read("out_recommendations", columns=["user_id", "item_ids"])
    n = lists.num_rows
    served = pa.table(
        {
            "recommendation_id": [f"r{row}" for row in range(n)],
            "user_id": lists["user_id"],
            "surface": ["recommendations"] * n,
            "version": ["v1"] * n,
            "item_ids": lists["item_ids"],
            "served_at": pa.array([small_world.AS_OF] * n, pa.timestamp("us", tz="UTC")),
        }
    )
    with pytest.raises(Exception, match="nothing that was served has been landed; run the DAG ingest first"):
        replay.main(replay.Params(run.run_id))
    folder = run.settings.warehouse(run.manifest.source) / "core_served"
    with store.attempted(folder) as attempt:
        pq.write_table(served, attempt / "part-0.parquet")
        store.commit(folder, store.Manifest(store.files_below(folder, attempt), n))
    replay.main(replay.Params(run.run_id))
    [row] = run.read("out_replay").to_pylist()
    assert (row["n_answers"], row["n_known"], row["share_equal"], row["overlap"]) == (n, n, 1.0, 1.0)

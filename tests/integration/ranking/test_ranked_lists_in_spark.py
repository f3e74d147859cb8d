"""Spark ranks as one process does."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybridrec.assignment.variants import RunningExperiment, Variant
from hybridrec.candidates.candidate_set import load_candidates
from hybridrec.experiments.run_variants import read_groups
from hybridrec.policy.policy import load_policy
from hybridrec.policy.ranked_lists import Depth, rank_candidate_set
from hybridrec.policy.variants import strategy_policy
from hybridrec.runs.run import MANIFEST, Run
from hybridrec.storage import shared_files, store


def test_spark_ranks_as_one_process_does_and_repeats_itself(spark: object, small_run: Run, policy_folder: Path) -> None:
    from hybridrec.storage import store
    from jobs import rank_candidates

    with small_run.staged("promotion") as folder:
        shutil.copytree(policy_folder, folder / "policy")
    hashes = []
    for _ in range(2):
        rank_candidates.main(rank_candidates.Params(small_run.run_id))
        hashes.append(store.read_manifest(small_run.dataset("model_ranked")).content_hash)
    assert hashes[0] == hashes[1]
    found = small_run.read("model_ranked").sort_by([("user_idx", "ascending"), ("rank", "ascending")])
    expected = rank_candidate_set(load_candidates(small_run, "full"), load_policy(policy_folder), Depth(200, rank_candidates.EXPLAINED))
    assert found.to_pydict() == expected.to_pydict()


def test_spark_ranks_the_users_of_a_variant_by_its_strategy(spark: object, small_run: Run, policy_folder: Path) -> None:
    from jobs import rank_candidates

    with small_run.staged("promotion") as folder:
        shutil.copytree(policy_folder, folder / "policy")
    variants = (Variant("control", 0.4), Variant("blend", 0.4, strategy="weighted"))
    experiment = RunningExperiment("blend", "blend", "running", (0.0, 1.0), variants)
    shared_files.write_text(small_run.folder / MANIFEST, store.as_json(asdict(replace(small_run.manifest, experiments=(experiment,)))))
    rank_candidates.main(rank_candidates.Params(small_run.run_id))
    users = np.flatnonzero(read_groups(small_run.artefact("variants")) == 1)
    found = small_run.read("model_variant_ranked").sort_by([("user_idx", "ascending"), ("rank", "ascending")])
    whole = rank_candidate_set(load_candidates(small_run, "full"), strategy_policy(policy_folder, "weighted"), Depth(200, 3))
    expected = whole.filter(pc.is_in(whole["user_idx"], value_set=pa.array(users, pa.int32())))
    assert 0 < len(set(found["user_idx"].to_pylist())) < 60
    assert found.to_pydict() == expected.to_pydict()

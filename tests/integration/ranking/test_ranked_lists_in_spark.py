"""Spark ranks as one process does."""

from __future__ import annotations

import shutil
from pathlib import Path

from hybridrec.candidates.candidate_set import load_candidates
from hybridrec.policy.policy import load_policy
from hybridrec.policy.ranked_lists import Depth, rank_candidate_set
from hybridrec.runs.run import Run


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

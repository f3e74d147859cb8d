"""Ranked lists of blocks of users, and the policy that ranks them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import feature_files, load_candidates
from hybridrec.policy.policy import Choice, Policy, load_policy, read_choices, write_choices
from hybridrec.policy.ranked_lists import Depth, Ranking, rank_batches, rank_candidate_set, retrievers_by_rank, user_blocks
from hybridrec.policy.variants import rank_variant_files, strategy_policy
from hybridrec.runs.run import Run
from hybridrec.strategies import create
from tests.support import made_candidates
from tests.support.policies import CHOICES

NAN = np.nan


def test_retrievers_are_ordered_by_rank_then_name() -> None:
    candidates = made_candidates.candidates_by_hand([1, 1], [4, 5], rank_a=[3, NAN], rank_b=[1, 2], rank_c=[1, NAN], n_sources=[3, 1])
    assert retrievers_by_rank(candidates, np.array([0, 1])).to_pylist() == [["b", "c", "a"], ["b"]]


def test_each_segment_gets_its_list() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 2, 2], [4, 5, 4, 5], [0, 9], rank_popularity=[1, 2, 1, NAN], score_popularity=[2, 1, 2, 1], z_popularity=[-1, 1, -1, 1],
        n_sources=[1, 1, 1, 1],
    )  # fmt: skip
    policy = Policy(CHOICES | {"light": Choice("strategy", "weighted", "")}, {"weighted": create("weighted", Config())}, 20)
    ranked = rank_candidate_set(candidates, policy, Depth(10, 10)).to_pydict()
    assert ranked["user_idx"] == [1, 1, 2, 2]
    assert ranked["item_idx"] == [4, 5, 5, 4]
    assert ranked["strategy"] == ["popularity", "popularity", "weighted", "weighted"]
    assert ranked["score"] == [1.0, 0.5, 1.0, -1.0]
    assert ranked["rank"] == [1, 2, 1, 2]
    assert ranked["sources"] == [["popularity"], ["popularity"], [], ["popularity"]]


def test_blocks_do_not_change_the_lists(small_run: Run, policy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rank_candidate_set(load_candidates(small_run, "full"), load_policy(policy_folder), Depth(5, 3))
    monkeypatch.setattr("hybridrec.policy.ranked_lists.BLOCK_USERS", 7)
    table = small_run.read("model_candidates", "full").sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    batches = iter(table.to_batches(max_chunksize=53))
    parts = list(rank_batches(batches, Ranking(feature_files(small_run, "full"), policy_folder, Depth(5, 3))))
    assert len(parts) == 9
    assert pa.Table.from_batches(parts).equals(whole)


def test_lists_are_cut_and_explained_to_their_depth(small_run: Run, policy_folder: Path) -> None:
    ranked = rank_candidate_set(load_candidates(small_run, "full"), load_policy(policy_folder), Depth(5, 3)).to_pandas()
    assert ranked["rank"].max() == 5
    assert set(ranked.user_idx[ranked.strategy == "popularity"]) == {58, 59}
    stacked = ranked[ranked.strategy == "stacking"]
    assert (stacked.top_features.str.len() > 0).equals(stacked["rank"] <= 3)
    assert (ranked.groupby("user_idx").score.diff().dropna() <= 0).all()


def test_user_blocks_hold_all_rows_of_a_user() -> None:
    users = np.repeat(np.arange(0, 1000, 100, dtype=np.int32), 3)
    batches = pa.table({"user_idx": users}).to_batches(max_chunksize=4)
    blocks = [block["user_idx"].to_pylist() for block in user_blocks(iter(batches))]
    assert [sorted(set(block)) for block in blocks] == [[0, 100, 200], [300, 400], [500, 600, 700], [800, 900]]
    assert sum(map(len, blocks)) == 30


def test_policy_folder_needs_nothing_beside_it(small_run: Run, policy_folder: Path, tmp_path: Path) -> None:
    expected = load_policy(policy_folder).score(load_candidates(small_run, "full"))
    moved = Path(shutil.move(policy_folder, tmp_path / "elsewhere"))
    shutil.rmtree(small_run.dataset("strategies"))
    np.testing.assert_array_equal(load_policy(moved).score(load_candidates(small_run, "full")), expected)


def test_policy_refuses_a_candidate_set_without_its_columns(small_run: Run, policy_folder: Path) -> None:
    candidates = load_candidates(small_run, "full")
    with pytest.raises(PermanentError, match=r"missing \['rank_popularity'"):
        load_policy(policy_folder).require_fit(candidates.without("popularity"))


def test_choices_survive_their_file(tmp_path: Path) -> None:
    write_choices(tmp_path / "decision.json", CHOICES, {"metric": "ndcg@10"})
    assert read_choices(tmp_path / "decision.json") == CHOICES
    assert json.loads((tmp_path / "decision.json").read_text())["metric"] == "ndcg@10"


def test_a_variant_is_ranked_by_its_strategy_from_the_same_candidates(small_run: Run, policy_folder: Path, tmp_path: Path) -> None:
    """Users of the variant are ranked as if the strategy were published for all; others are not ranked."""
    whole = rank_candidate_set(load_candidates(small_run, "full"), strategy_policy(policy_folder, "stacking"), Depth(5, 3))
    wanted = np.arange(60) % 3 == 0
    np.save(tmp_path / "users.npy", wanted, allow_pickle=False)
    ranking = Ranking(feature_files(small_run, "full"), policy_folder, Depth(5, 3))
    files = small_run.files("model_candidates", "full")
    found = pa.Table.from_batches(rank_variant_files(files, ranking, "stacking", tmp_path / "users.npy"))
    expected = whole.filter(pa.array(wanted[whole["user_idx"].to_numpy()]))
    assert found.equals(expected) and set(found["strategy"].to_pylist()) == {"stacking"}


def test_a_variant_needs_a_strategy_that_was_fitted(small_run: Run, policy_folder: Path) -> None:
    shutil.rmtree(policy_folder / "strategies" / "stacking")
    with pytest.raises(PermanentError, match="ranked by the strategy stacking, which the published policy has not fitted"):
        strategy_policy(policy_folder, "stacking")
    assert strategy_policy(policy_folder, "weighted").choices["none"].name == "weighted"

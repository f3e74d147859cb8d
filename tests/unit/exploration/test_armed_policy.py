"""Users who have drawn an arm get its list; the others keep theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.base.trying import Bandit
from hybridrec.candidates.candidate_set import feature_files, load_candidates
from hybridrec.exploration.draws import NO_ARM, draws_folder, load_draws, write_draws
from hybridrec.policy.armed import load_with_arms
from hybridrec.policy.policy import load_policy, loadable_strategies
from hybridrec.policy.ranked_lists import Depth, Ranking, rank_batches, rank_candidate_set
from hybridrec.runs.run import Run
from hybridrec.strategies.weighted import blend
from tests.support.policies import policy_folder, policy_home  # noqa: F401  fixtures

ARMS = {"content": "content=1", "people": "item_knn=2,popularity=0.5", "stack": "stacking"}
RETRIEVERS = ["content", "item_knn", "popularity"]


@pytest.fixture
def drawn_run(small_run: Run, policy_folder: Path) -> Run:  # noqa: F811
    """Provide a run half of whose users have drawn an arm."""
    config = replace(small_run.config, bandit=Bandit(arms=ARMS, share=0.5))
    run = Run(replace(small_run.manifest, config=config), small_run.settings)
    write_draws(run, RETRIEVERS, loadable_strategies(policy_folder))
    return run


def test_each_arm_ranks_its_users(drawn_run: Run, policy_folder: Path) -> None:  # noqa: F811
    candidates, draws, folder = load_candidates(drawn_run, "full"), load_draws(drawn_run), draws_folder(drawn_run)
    assert draws is not None and folder is not None
    armed, plain = load_with_arms(policy_folder, folder), load_policy(policy_folder)
    scores, of_rows = armed.score(candidates), draws.of_user[candidates.row_users]
    assert set(np.unique(of_rows)) == {NO_ARM, 0, 1, 2}
    expected = {
        NO_ARM: plain.score(candidates),
        0: blend(candidates, {"content": 1.0}),
        1: blend(candidates, {"item_knn": 2.0, "popularity": 0.5}),
        2: load_policy(policy_folder, ("stacking",)).score_strategy("stacking", candidates),
    }
    for number, of_arm in expected.items():
        np.testing.assert_array_equal(scores[of_rows == number], of_arm[of_rows == number])
    ranked = rank_candidate_set(candidates, armed, Depth(5, 3)).to_pandas()
    names = ranked.groupby(draws.of_user[ranked.user_idx]).strategy.unique()
    assert [list(names[number]) for number in range(3)] == [["content"], ["people"], ["stacking"]]


def test_blocks_do_not_change_the_lists(drawn_run: Run, policy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    folder = draws_folder(drawn_run)
    assert folder is not None
    whole = rank_candidate_set(load_candidates(drawn_run, "full"), load_with_arms(policy_folder, folder), Depth(5, 3))
    monkeypatch.setattr("hybridrec.policy.ranked_lists.BLOCK_USERS", 7)
    table = drawn_run.read("model_candidates", "full").sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    ranking = Ranking(feature_files(drawn_run, "full"), policy_folder, Depth(5, 3), folder)
    assert pa.Table.from_batches(list(rank_batches(iter(table.to_batches(max_chunksize=53)), ranking))).equals(whole)

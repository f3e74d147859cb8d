"""A night's evaluation over the small world, and the decision by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from hybridrec import strategies
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.evaluation import comparisons as cmp
from hybridrec.evaluation.ablation import unique_hits
from hybridrec.evaluation.comparisons import Comparison, Resampling, compare_lists, decide
from hybridrec.evaluation.evaluate import evaluate
from hybridrec.evaluation.judged_lists import JudgedLists, judge_lists, metric_rows
from hybridrec.metrics.labels import LabelledCandidates, history_lengths, labelled_candidates
from hybridrec.metrics.metrics import Labels
from hybridrec.policy.policy import read_choices
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import segments_of
from hybridrec.storage import store
from hybridrec.types import NO_ITEM
from jobs import evaluate as evaluate_job
from jobs import train_ranker
from tests.support import made_candidates
from tests.support.judged import Fixed, catalogue

HOW = Resampling(samples=200, seed=1)


def two_lists(n_users: int, n_history: int, better: str) -> JudgedLists:
    """Return two candidates per user, the first is the label; stacking and weighted disagree which is best."""
    users = np.repeat(np.arange(n_users), 2)
    candidates = made_candidates.candidates_by_hand(
        users.tolist(),
        [1, 2] * n_users,
        [n_history] * n_users,
        right=[2, 1] * n_users,
        wrong=[1, 2] * n_users,
        rank_popularity=[2, 1] * n_users,
        n_sources=[1, 1] * n_users,
    )
    labels = made_candidates.hand_labels([(u, 1, 1.0) for u in range(n_users)])
    ready = {name: Fixed("right" if name == better else "wrong") for name in ("stacking", "weighted")}
    segments = segments_of(candidates.n_history, 20)
    return judge_lists(candidates, labels, ready, (1, 2), segments, catalogue([0.0, 1.0, 2.0]))  # type: ignore[arg-type]


def choice_of(lists: JudgedLists, segment: str) -> tuple[str, str]:
    choice = decide(lists, compare_lists(lists, HOW), k=1)[segment]
    return choice.name, choice.reason


def test_default_stays_unless_another_list_is_better() -> None:
    name, reason = choice_of(two_lists(50, n_history=5, better="stacking"), "light")
    assert name == "stacking"
    assert "no list is better" in reason


def test_better_list_of_a_segment_is_published() -> None:
    lists = two_lists(50, n_history=5, better="weighted")
    name, reason = choice_of(lists, "light")
    assert name == "weighted"
    assert "weighted - stacking: ndcg@1 +1.0000 [+1.0000, +1.0000], 50 users" in reason
    assert choice_of(lists, "heavy") == (
        "stacking",
        "the default: 0 users with labels in this segment; 20 are needed to overrule it",
    )


def test_too_few_users_cannot_overrule_the_default() -> None:
    assert choice_of(two_lists(19, n_history=5, better="weighted"), "light")[0] == "stacking"


def test_equal_list_does_not_replace_the_default() -> None:
    assert choice_of(two_lists(50, n_history=0, better="neither"), "none")[0] == "stacking"


def test_model_and_strategy_of_one_name_are_refused() -> None:
    candidates = made_candidates.candidates_by_hand([1], [1], rank_weighted=[1], n_sources=[1])
    labels = made_candidates.hand_labels([(1, 1, 1.0)])
    with pytest.raises(PermanentError, match=r"\['weighted'\]: a model and a strategy have the same name"):
        judge_lists(candidates, labels, {"weighted": Fixed("n_sources")}, (1,), np.array(["none"]), catalogue([1.0, 1.0]))


def test_user_without_candidates_counts_zero() -> None:
    candidates = made_candidates.candidates_by_hand([1], [1], rank_popularity=[1], n_sources=[1])
    labels = made_candidates.hand_labels([(1, 1, 1.0), (2, 1, 1.0)])
    lists = judge_lists(candidates, labels, {"weighted": Fixed("n_sources")}, (1,), np.array(["none", "light"]), catalogue([1.0, 1.0]))
    rows = metric_rows(lists, samples=50, seed=1).to_pandas().set_index(["kind", "name", "segment", "metric"])
    assert rows.loc["source", "popularity", "all", "ndcg@1"].value.item() == 0.5
    assert rows.loc["source", "popularity", "light", "ndcg@1"].value.item() == 0
    assert rows.loc["pool", "pool", "all", "recall@pool"].value.item() == 0.5
    assert rows.loc["source", "popularity", "all", "unique_recall@pool"].value.item() == 0.5
    assert rows.loc["pool", "pool", "all", "n_candidates"].value.item() == 0.5
    assert set(rows.index.get_level_values("segment")) == {"all", "none", "light"}


def test_a_pair_scorer_ranks_the_candidates_by_its_score() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 1], [0, 1, 2], rank_popularity=[1, 2, np.nan], score_fm=[0.1, np.nan, 0.9], n_sources=[1, 1, 1]
    )
    assert (candidates.retrievers, candidates.scorers) == (("popularity",), ("fm",))
    lists = judge_lists(candidates, made_candidates.hand_labels([(1, 2, 1.0)]), {}, (1, 3), np.array(["heavy"]), catalogue([1.0] * 3))
    np.testing.assert_array_equal(lists.judged["scorer", "fm"].items, [[2, 0, NO_ITEM]])
    rows = metric_rows(lists, samples=10, seed=1).to_pandas().set_index(["kind", "name", "segment", "metric"]).value
    assert rows["scorer", "fm", "all", "hit_rate@1"] == 1
    assert rows["source", "popularity", "all", "hit_rate@3"] == 0


def test_new_items_are_judged_apart() -> None:
    """Users 0 and 1 see items 0 and 1; item 1 is new. User 0 turned to both, user 1 to the old one only."""
    candidates = made_candidates.candidates_by_hand(
        [0, 0, 1, 1], [0, 1, 0, 1], rank_popularity=[1, 2, 1, 2], rank_content=[2, 1, np.nan, np.nan], n_sources=[2, 2, 1, 1]
    )
    labels = made_candidates.hand_labels([(0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0)])
    lists = judge_lists(candidates, labels, {}, (1, 2), np.array(["heavy", "light"]), catalogue([3.0, 0.0]))
    of_new = lists.of_segment("new_items")
    np.testing.assert_array_equal(of_new.labels.users, [0])
    np.testing.assert_array_equal(of_new.labels.items, [1])
    np.testing.assert_array_equal(of_new.judged["source", "popularity"].items, [[0, 1]])
    rows = metric_rows(lists, samples=10, seed=1).to_pandas().set_index(["kind", "name", "segment", "metric"])
    assert rows.loc["source", "popularity", "new_items", "ndcg@1"].value.item() == 0
    assert rows.loc["source", "content", "new_items", "ndcg@1"].value.item() == 1
    assert rows.loc["source", "content", "new_items", "recall@2"].n_users.item() == 1
    assert rows.loc["pool", "pool", "new_items", "recall@pool"].value.item() == 1
    assert rows.loc["source", "content", "all", "recall@100"].value.item() == 0.5


def test_the_best_single_retriever_is_always_compared_beside() -> None:
    lists = two_lists(50, n_history=5, better="stacking")
    rows = {(row.name, row.segment, row.metric): row for row in compare_lists(lists, HOW) if row.question == "best_source"}
    row = rows["stacking", "light", "ndcg@1"]
    assert (row.against, row.difference, row.low) == ("popularity", 1.0, 1.0)
    assert rows["weighted", "all", "ndcg@1"].difference == 0
    assert "Against the best single retriever: stacking - popularity: ndcg@1 +1.0000" in choice_of(lists, "light")[1]


def test_unique_hits_are_labels_that_one_retriever_alone_retrieved() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 1], [0, 1, 2], rank_als=[1, np.nan, 2], rank_content=[np.nan, 1, 1], score_fm=[1, 2, 3], n_sources=[1, 1, 2]
    )
    labelled = LabelledCandidates(candidates, made_candidates.hand_labels([(1, 0, 1.0), (1, 2, 1.0), (1, 9, 1.0)]))
    assert {model: unique_hits(labelled, model) for model in ("als", "content", "fm")} == {"als": 1, "content": 0, "fm": 0}


@pytest.fixture
def judged_run(small_run: Run) -> Run:
    """Provide a run with candidates, of which one model is a pair scorer, and a fitted ranker."""
    for split in ("ranker", "holdout"):
        rows = made_candidates.candidates(small_run, split)
        rows["score_fm"] = -rows.score_popularity
        small_run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), split)
    train_ranker.main(train_ranker.Params(small_run.run_id))
    return small_run


def test_ablation_of_a_model_says_what_it_brought(judged_run: Run) -> None:
    record = {"job": "train_model", "wall_seconds": 2.0, "peak_mib": 300.0}
    for n, split in enumerate(("ranker", "holdout")):
        store.write_json(
            judged_run.folder / "tasks" / f"train_model.content.{split}.json", record | {"part": f"content.{split}", "started_at": n}
        )
    found = evaluate(judged_run, threads=1).ablation.to_pandas().set_index("source")
    assert set(found.index) == {*made_candidates.RETRIEVERS, "fm"}
    assert set(found.strategy) == {"stacking"}
    content = found.loc["content"]
    assert content.low > 0  # tastes are categories here: without content the stack is worse
    assert (content.seconds, content.peak_mib) == (4.0, 300.0)
    assert np.isnan(found.loc["fm"].seconds)  # nothing is known of its fits


def test_jobs_write_the_tables_and_the_decision_and_repeat_themselves(small_run: Run) -> None:
    run = made_candidates.add_candidates(small_run)
    hashes = []
    for _ in range(2):
        train_ranker.main(train_ranker.Params(run.run_id))
        evaluate_job.main(evaluate_job.Params(run.run_id))
        hashes.append([_hash(run, name) for name in ("strategies/stacking", "out_metrics", "out_comparisons", "decision")])
    assert hashes[0] == hashes[1]
    choices = read_choices(run.artefact("decision") / "decision.json")
    assert set(choices) == {"none", "light", "heavy"}
    metrics = run.read("out_metrics").to_pandas()
    assert ((metrics.low <= metrics.value + 1e-9) & (metrics.value <= metrics.high + 1e-9)).mean() > 0.95
    assert set(metrics.kind) == {"source", "strategy", "policy", "pool"}


def test_default_list_without_stacking(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = two_lists(30, 5, better="weighted")
    without = replace(lists, judged={key: value for key, value in lists.judged.items() if key[1] != "stacking"})
    assert cmp.default_list(without) == ("strategy", "weighted")


def test_sampled_candidates_keeps_whole_users_and_their_labels(small_run: Run) -> None:
    run = made_candidates.add_candidates(small_run)
    candidates, labels = labelled_candidates(run, "holdout", max_rows=100)
    whole, _ = labelled_candidates(run, "holdout")
    assert 0 < len(candidates.items) <= 100
    assert set(candidates.users) <= set(labels.users)
    assert isinstance(labels, Labels)
    np.testing.assert_array_equal(candidates.items, whole.rows_of(candidates.users).items)


def test_history_lengths_of_users_without_row(small_run: Run) -> None:
    np.testing.assert_array_equal(history_lengths(small_run, "holdout", np.array([0, 29, 59], dtype=np.int32)), [10, 0, 0])


def test_comparison_reads_as_a_sentence() -> None:
    row = Comparison("strategy", "a", "b", "all", "ndcg@10", 0.00311, -0.01, 0.02, 7)
    assert row.text() == "a - b: ndcg@10 +0.0031 [-0.0100, +0.0200], 7 users"
    assert replace(row, n_users=1).text().endswith("], 1 user")


def test_learns_is_known_without_a_run() -> None:
    assert strategies.learns("stacking")
    assert not strategies.learns("weighted")
    assert strategies.create("weighted", Config()) is not None


def _hash(run: Run, name: str) -> str:
    return store.read_manifest(run.dataset(name)).content_hash

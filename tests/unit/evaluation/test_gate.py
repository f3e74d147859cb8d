"""The gate: what is promoted, what is refused, and who serves then."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.evaluation.comparisons import Comparison, as_columns
from hybridrec.evaluation.gate import Champion, judge_promotion
from hybridrec.evaluation.promotion import write_promotion
from hybridrec.metrics.labels import LabelledCandidates, history_lengths, labelled_candidates
from hybridrec.metrics.metrics import judge, ndcg
from hybridrec.policy.policy import Choice, Policy, load_policy, retriever_scores, save_policy
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.strategies import weighted
from hybridrec.tables import table
from jobs import train_ranker
from tests.support import made_candidates


def policy(run: Run, folder: Path, kind: str, name: str) -> Policy:
    """Return a policy of this run with one list for all users."""
    save_policy(run, dict.fromkeys(SEGMENTS, Choice(kind, name, "for the test")), folder)  # type: ignore[arg-type]
    return load_policy(folder)


@pytest.fixture
def run(small_run: Run) -> Run:
    """Provide three honest retrievers, and `backwards`, which ranks what content likes least first."""
    for split in ("ranker", "holdout", "full"):
        rows = made_candidates.candidates(small_run, split)
        rows["score_backwards"] = -rows.score_content.fillna(0) - rows.score_popularity / 1000
        rows["rank_backwards"] = rows.groupby("user_idx").score_backwards.rank(ascending=False, method="first").astype(np.float32)
        small_run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), split)
    return small_run


def test_first_stack_is_promoted_when_it_is_not_below_popularity(run: Run, tmp_path: Path) -> None:
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "content"), None)
    assert verdict.promoted
    assert verdict.serving == "tonight"
    assert "there is no champion yet" in verdict.reasons
    assert any("this night - popularity: ndcg@10 +0." in reason for reason in verdict.reasons)


def test_stack_below_popularity_is_refused_and_the_blend_serves(run: Run, tmp_path: Path) -> None:
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "backwards"), None)
    assert not verdict.promoted
    assert verdict.serving == "blend"
    assert "below popularity with the whole 95 % interval" in verdict.reasons


def test_a_stand_in_is_held_against_the_best_single_retriever_too(run: Run, tmp_path: Path) -> None:
    row = Comparison("served", "tonight", "content", "served", "ndcg@10", -0.1, -0.2, -0.05, 58)
    run.write("out_comparisons", pa.Table.from_pylist(as_columns([row]), table("out_comparisons").arrow_schema()))
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "backwards"), None)
    (served,) = [row for row in verdict.comparisons if row.question == "served"]
    assert (served.name, served.against, served.segment, served.n_users) == ("blend", "content", "served", 58)
    labelled = labelled_candidates(run, "holdout")
    quality = [
        ndcg(judge(labelled.candidates, scores, labelled.labels, 10), 10)
        for scores in (_blend(labelled), retriever_scores(labelled.candidates, "content"))
    ]
    known = history_lengths(run, "holdout", labelled.labels.users) > 0
    gained, newcomers = quality[0] - quality[1], 2 / 60  # of those served; one of them was judged
    assert served.difference == pytest.approx((1 - newcomers) * gained[known].mean() + newcomers * gained[~known].mean())


def _blend(labelled: LabelledCandidates) -> np.ndarray:
    return weighted.Strategy(weighted.Config()).score(labelled.candidates)


def test_worse_than_the_champion_is_refused_and_the_champion_serves(run: Run, tmp_path: Path) -> None:
    policy(run, tmp_path / "champion", "source", "content")
    champion = Champion("3", tmp_path / "champion")
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "popularity"), champion)
    assert not verdict.promoted
    assert verdict.serving == "champion"
    assert any("may lose more than 0.02 against champion 3" in reason for reason in verdict.reasons)
    write_promotion(run, verdict, "4", champion)
    promotion = run.artefact("promotion")
    record = json.loads((promotion / "promotion.json").read_text())
    assert (record["model_version"], record["candidate_version"], record["promoted"]) == ("3", "4", False)
    assert load_policy(promotion / "policy").choices["light"].name == "content"


def test_equal_to_the_champion_is_promoted(run: Run, tmp_path: Path) -> None:
    challenger = policy(run, tmp_path / "champion", "source", "content")
    assert judge_promotion(run, challenger, Champion("3", tmp_path / "champion")).promoted


def test_tolerance_decides(run: Run, tmp_path: Path) -> None:
    policy(run, tmp_path / "champion", "source", "content")
    lenient = Run(replace(run.manifest, config=replace(run.config, gate_tolerance=1.0)), run.settings)
    assert judge_promotion(lenient, policy(run, tmp_path / "p", "source", "popularity"), Champion("3", tmp_path / "champion")).promoted


def test_champion_with_other_columns_is_replaced_by_the_blend_and_the_reasons_say_so(run: Run, tmp_path: Path) -> None:
    train_ranker.main(train_ranker.Params(run.run_id))
    policy(run, tmp_path / "champion", "strategy", "stacking")
    for split in ("ranker", "holdout", "full"):  # now a retriever is gone
        rows = made_candidates.candidates(run, split)
        run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), split)
    champion = Champion("3", tmp_path / "champion")
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "popularity"), champion)
    assert not verdict.promoted
    assert verdict.serving == "blend"
    assert "champion 3 cannot rank these candidates" in verdict.reasons[0]
    assert "rank_backwards" in verdict.reasons[0]
    write_promotion(run, verdict, "4", champion)
    assert load_policy(run.artefact("promotion") / "policy").choices["none"].name == "weighted"


def test_champion_whose_files_are_gone_does_not_stop_the_night(run: Run, tmp_path: Path) -> None:
    verdict = judge_promotion(run, policy(run, tmp_path / "p", "source", "content"), Champion("3", None))
    assert verdict.promoted
    assert "its files are gone" in verdict.reasons[0]


def test_promotion_is_the_same_twice(run: Run, tmp_path: Path) -> None:
    from hybridrec.storage import store

    challenger = policy(run, tmp_path / "p", "source", "content")
    with run.staged("decision") as folder:
        shutil.copyfile(tmp_path / "p" / "decision.json", folder / "decision.json")
    hashes = []
    for _ in range(2):
        write_promotion(run, judge_promotion(run, challenger, None), "1", None)
        hashes.append(store.read_manifest(run.dataset("promotion")).content_hash)
    assert hashes[0] == hashes[1]

"""Quality over the served users: weights by pencil, intervals by segment, and what too few users cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from hybridrec.evaluation.comparisons import Resampling
from hybridrec.evaluation.evaluate import evaluate
from hybridrec.evaluation.judged_lists import JudgedLists, judge_lists
from hybridrec.evaluation.served import compare_served, judge_served, weighed
from hybridrec.evaluation.shrinkage import with_chosen
from hybridrec.policy.policy import Choice
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import MIN_USERS, Stratum, judged_segments, served_users, strata, user_weights
from jobs import train_ranker
from tests.support import made_candidates
from tests.support.judged import Fixed, catalogue

HOW = Resampling(samples=400, seed=1)
CHOICES = {
    "none": Choice("source", "popularity", ""),
    "light": Choice("strategy", "stacking", ""),
    "heavy": Choice("strategy", "weighted", ""),
}


def segments(none: int, light: int, heavy: int) -> np.ndarray:
    return np.array(["none"] * none + ["light"] * light + ["heavy"] * heavy)


def judged(n_none: int, n_light: int, n_heavy: int) -> JudgedLists:
    """Return two candidates a user, the first is the label: stacking and als always find it first, the others never do."""
    of_user = segments(n_none, n_light, n_heavy)
    n = len(of_user)
    candidates = made_candidates.candidates_by_hand(
        np.repeat(np.arange(n), 2).tolist(),
        [1, 2] * n,
        [5] * n,
        right=[2, 1] * n,
        wrong=[1, 2] * n,
        rank_als=[1, 2] * n,
        rank_popularity=[2, 1] * n,
        n_sources=[2, 2] * n,
    )
    ready = {"stacking": Fixed("right"), "weighted": Fixed("wrong")}
    return judge_lists(
        candidates,
        made_candidates.hand_labels([(u, 1, 1.0) for u in range(n)]),
        ready,  # type: ignore[arg-type]
        (1,),
        of_user,
        catalogue([0.0, 1.0, 2.0]),
    )


def test_each_segment_counts_by_its_share_of_the_users_served() -> None:
    """Newcomers are most of the judged and a tenth of the served."""
    values = np.array([[0.0]] * 60 + [[0.5]] * 20 + [[1.0]] * 20)
    of_users = segments(60, 20, 20)
    found = weighed(values, of_users, strata(of_users, {"none": 10, "light": 30, "heavy": 60}), HOW)
    assert found.means == pytest.approx([0.75])
    assert np.ptp(found.resampled) == pytest.approx(0)  # users of a segment are alike, and how many there are is not drawn


def test_a_segment_is_resampled_by_itself() -> None:
    rng = np.random.default_rng(3)
    values = rng.uniform(0, 1, (200, 1))
    of_users = segments(0, 100, 100)
    found = weighed(values, of_users, strata(of_users, {"light": 50, "heavy": 50}), HOW)
    error = np.sqrt(sum((0.5**2) * part.var() / 100 for part in (values[:100], values[100:])))
    assert found.resampled.std() == pytest.approx(error, rel=0.1)


def test_the_lists_as_chosen_stand_against_the_best_retriever_and_popularity() -> None:
    found = judge_served(with_chosen(judged(60, 20, 20), CHOICES, {}), {"none": 0, "light": 30, "heavy": 70}, 1, HOW)
    rows = {(row["kind"], row["name"]): row for row in found.metrics}
    assert rows["policy", "tonight"]["value"] == pytest.approx(0.3)  # stacking for the light 30 %
    assert (rows["source", "als"]["value"], rows["source", "popularity"]["value"]) == (1.0, 0.0)
    assert {row["n_users"] for row in found.metrics} == {40} and found.judged == {"light": 20, "heavy": 20}
    assert [(row.name, row.against) for row in found.comparisons] == [("tonight", "als"), ("tonight", "popularity")]
    assert found.comparisons[0].difference == pytest.approx(-0.7)


def test_too_few_judged_users_say_nothing() -> None:
    found = judge_served(judged(30, MIN_USERS - 1, 0), {"none": 0, "light": 30, "heavy": 0}, 1, HOW)
    assert (found.metrics, found.comparisons, found.judged) == ([], [], {})
    assert compare_served(np.ones(3), np.zeros(3), ("blend", "als"), segments(0, 3, 0), {"light": 3}, 1, HOW) == []


def test_users_with_a_history_stand_for_each_other_and_newcomers_for_no_one_else() -> None:
    few = segments(0, 3, MIN_USERS)
    assert strata(few, {"light": 500, "heavy": 1}) == (Stratum(("light", "heavy"), 501),)
    assert judged_segments(few, {"light": 500, "heavy": 1}) == {"light": 3, "heavy": MIN_USERS}
    newcomers, served = segments(300, 15, 0), {"none": 1, "light": 9_000, "heavy": 1_000}
    assert strata(newcomers, served) == () and user_weights(newcomers, served) is None
    assert judge_served(judged(300, 15, 0), served, 1, HOW).metrics == [], "no headline from a hundredth of a percent of those served"
    assert strata(newcomers, served | {"none": 20_000}) == (Stratum(("none",), 20_000),)


def test_an_evaluation_knows_who_is_served(small_run: Run) -> None:
    run = made_candidates.add_candidates(small_run)
    train_ranker.main(train_ranker.Params(run.run_id))
    found = evaluate(run, threads=1, ablate=False)
    assert (found.figures["metric"], found.figures["served"]) == ("ndcg@10", {"none": 2, "light": 58, "heavy": 0})
    assert found.figures["judged"] == {"none": 1, "light": 57}
    mix = found.figures["mix"]
    assert isinstance(mix, dict) and mix["judged_labelled"]["none"] == pytest.approx(1 / 58)
    for name, share in mix["served"].items():
        assert mix["judged"][name] == pytest.approx(share, abs=0.01)
    assert served_users(run) == found.figures["served"]
    ours = found.metrics.to_pandas().query("segment == 'served' and kind == 'policy'")
    light = found.metrics.to_pandas().query("segment == 'light' and metric == 'ndcg@10'").set_index("name").value
    chosen = found.metrics.to_pandas().query("segment == 'light' and kind == 'policy' and metric == 'ndcg@10'").value.item()
    none = found.metrics.to_pandas().query("segment == 'none' and kind == 'policy' and metric == 'ndcg@10'").value.item()
    assert ours.value.item() == pytest.approx((58 * chosen + 2 * none) / 60)
    (row, *_) = [row for row in found.comparisons.to_pylist() if row["question"] == "served"]
    assert row["difference"] > ours.value.item() - light[row["against"]] - 0.05

"""A label window of newcomers: what is learnt, chosen and judged must be for the users who are served, who have a history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hybridrec import strategies
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import best_first, rank_score, zscore
from hybridrec.evaluation.comparisons import Resampling, compare_lists, decide
from hybridrec.evaluation.judged_lists import JudgedLists, judge_lists
from hybridrec.evaluation.served import judge_served
from hybridrec.evaluation.shrinkage import shrink, with_chosen
from hybridrec.metrics.metrics import Labels, judge, ndcg
from hybridrec.policy.ensemble import Part
from hybridrec.policy.policy import Choice, Policy, ensemble_of, read_choices, retriever_scores, write_choices
from hybridrec.ranking.labelled import labelled_users, labels_in, weigh_taught
from hybridrec.ranking.ranker_fit import Config as RankerConfig
from hybridrec.ranking.ranker_fit import better, fit_ranker
from hybridrec.ranking.selection import select_retrievers
from hybridrec.ranking.weight_learner import best_choice
from hybridrec.splitting.mix import draw_rates, mix_of, segments_of, user_weights, weighed_mix
from hybridrec.strategies import Strategy, stacking, weighted
from tests.support import made_candidates
from tests.support.judged import catalogue

HOW = Resampling(samples=300, seed=3)
SERVED = {"none": 4, "light": 0, "heavy": 996}
N_ITEMS, K = 30, 5
OPTIONS = stacking.Config(max_rounds=40, min_rows_in_leaf=10, k=K, bags=1)


def window(n_new: int, n_known: int, seed: int) -> tuple[CandidateSet, Labels]:
    """Return users with 30 candidates: newcomers choose what is popular, users with history what item_knn finds and nothing popular."""
    rng = np.random.default_rng(seed)
    n_users = n_new + n_known
    known = np.repeat(np.arange(n_users) >= n_new, N_ITEMS)
    popular, similar = rng.normal(size=n_users * N_ITEMS), rng.normal(size=n_users * N_ITEMS)
    taste = np.where(known, 2.5 * similar - 1.5 * popular, 2.5 * popular)
    gains = rng.random(len(taste)) < 1 / (1 + np.exp(4 - taste))
    starts = np.arange(0, len(taste) + 1, N_ITEMS)
    columns: dict[str, np.ndarray] = {}
    for name, scores in (("popularity", popular), ("item_knn", similar)):
        columns |= {
            f"score_{name}": scores,
            f"z_{name}": zscore(scores, starts),
            f"rank_{name}": 1 + N_ITEMS * (1 - rank_score(scores, starts)),
        }
    columns |= {"mean_z": (columns["z_popularity"] + columns["z_item_knn"]) / 2, "n_sources": np.full(len(taste), 2.0)}
    history = [0] * n_new + [40] * n_known
    users, items = np.repeat(np.arange(n_users), N_ITEMS).tolist(), list(range(N_ITEMS)) * n_users
    candidates = made_candidates.candidates_by_hand(users, items, history, **columns)
    chosen = labels_in(candidates, gains.astype(np.float32))
    return candidates.rows_of(chosen.users), chosen


def gains_of(candidates: CandidateSet, labels: Labels) -> np.ndarray:
    pairs = set(zip(np.repeat(labels.users, np.diff(labels.starts)).tolist(), labels.items.tolist(), strict=True))
    rows = zip(candidates.row_users.tolist(), candidates.items.tolist(), strict=True)
    return np.array([float(pair in pairs) for pair in rows], dtype=np.float32)


def lists_of(candidates: CandidateSet, labels: Labels, ready: dict[str, Strategy]) -> JudgedLists:
    return judge_lists(candidates, labels, ready, (K,), segments_of(candidates.n_history, 20), catalogue([1.0] * N_ITEMS))


def published(weigh: bool) -> tuple[Policy, JudgedLists]:
    """Return the policy of a night in a world of newcomers: 300 of them, 60 users with history, 15 of these judged."""
    candidates, labels = window(300, 60, seed=1)
    weights = user_weights(segments_of(candidates.n_history, 20), SERVED) if weigh else None
    stack = stacking.Strategy(OPTIONS)
    stack.fit(replace(candidates, weights=weights), gains_of(candidates, labels), seed=5, threads=1)
    ready: dict[str, Strategy] = {"stacking": stack, "weighted": weighted.Strategy(weighted.Config())}
    judged, of_judged = window(300, 15, seed=2)
    lists = lists_of(judged, of_judged, ready)
    choices = decide(lists, compare_lists(lists, HOW), K)
    if weigh:
        choices, joined = shrink(choices, lists, judged, lambda name, part: ready[name].score(part), SERVED, K, HOW)
        lists = with_chosen(lists, choices, joined)
    return Policy(choices, ready, 20), lists


def test_the_published_list_is_for_those_who_are_served_not_for_the_newcomers_who_were_judged() -> None:
    served, labels = window(0, 400, seed=9)
    singles = {name: ndcg(judge(served, retriever_scores(served, name), labels, K), K) for name in served.retrievers}
    best = max(singles.values(), key=lambda values: float(values.mean()))
    ahead = {}
    for weigh in (False, True):
        policy, _ = published(weigh)
        quality = ndcg(judge(served, policy.score(served), labels, K), K)
        ahead[weigh] = (quality - best).mean() / ((quality - best).std() / np.sqrt(len(best)))
    assert ahead[False] < -3, "planted fault: learnt from newcomers, the list is below item_knn"
    assert ahead[True] > -1


def test_newcomers_stay_a_segment_of_their_own() -> None:
    policy, _ = published(weigh=True)
    fresh, labels = window(200, 0, seed=11)
    quality = ndcg(judge(fresh, policy.score(fresh), labels, K), K).mean()
    assert quality > 0.9 * ndcg(judge(fresh, retriever_scores(fresh, "popularity"), labels, K), K).mean()


def test_the_judged_mix_is_the_served_mix() -> None:
    segments = np.array(["none"] * 193 + ["light"] * 7 + ["heavy"] * 98)
    users = {"none": 0, "light": 124, "heavy": 819}
    weights = user_weights(segments, users)
    assert weights is not None and weights.mean() == pytest.approx(1)
    assert not weights[segments == "none"].any()
    counted = weighed_mix(segments, weights)
    assert all(abs(counted.get(name, 0.0) - share) < 0.01 for name, share in mix_of(users).items())


def test_a_few_users_stand_for_a_small_segment_never_for_a_crowd() -> None:
    crowd = np.array(["light"] * 6 + ["heavy"] * 94)
    assert user_weights(crowd, {"light": 50, "heavy": 50}) is None, "all users with a history count alike"
    assert weighed_mix(crowd, user_weights(crowd, {"light": 10, "heavy": 90})) == pytest.approx({"light": 0.1, "heavy": 0.9})


def test_a_mix_like_the_served_one_is_not_weighed() -> None:
    segments = np.array(["none"] * 10 + ["light"] * 30 + ["heavy"] * 60)
    assert user_weights(segments, {"none": 100, "light": 301, "heavy": 599}) is None
    assert user_weights(segments, {}) is None


def test_weights_of_one_change_no_byte(tmp_path: Path) -> None:
    candidates, labels = window(100, 100, seed=4)
    files = []
    for number, weights in enumerate((None, np.ones(len(candidates.users)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = RankerConfig(max_rounds=24, min_rows_in_leaf=10, k=K, bags=2)
        ranker, _ = fit_ranker(replace(candidates, weights=weights), gains_of(candidates, labels), config, seed=5, threads=1)
        ranker.save(folder)
        files.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert files[0] == files[1]


def test_users_who_do_not_count_teach_nothing() -> None:
    candidates, labels = window(30, 20, seed=6)
    known = candidates.n_history > 0
    weighed = replace(candidates, weights=known.astype(np.float64))
    assert_array_equal(labelled_users(weighed, gains_of(candidates, labels)), candidates.users[known])
    part = candidates.rows_of(candidates.users[known])
    shares = select_retrievers(weighed, gains_of(candidates, labels), K, 1_000, seed=1)
    assert shares == select_retrievers(part, gains_of(part, labels), K, 1_000, seed=1)


def test_those_who_teach_stand_for_the_users_served() -> None:
    """Newcomers find their labels among the candidates in half of the cases: all labelled users are even, those with a hit are not."""
    candidates, labels = window(200, 200, seed=13)
    gains = gains_of(candidates, labels)
    lost = np.repeat((candidates.n_history == 0) & (np.arange(len(candidates.users)) % 2 == 0), np.diff(candidates.starts))
    taught = weigh_taught(candidates, np.where(lost, 0, gains).astype(np.float32), {"none": 50, "heavy": 50}, 20)
    assert taught.weights is not None
    new = candidates.n_history == 0
    assert taught.weights[new].sum() == pytest.approx(taught.weights[~new].sum())
    assert weigh_taught(candidates, gains, {}, 20).weights is None


def test_choices_count_users_as_they_are_served() -> None:
    """Seven of eight users like the second choice; the eighth counts for a hundred."""
    quality, weights = np.array([[0.5] * 8, [0.6] * 4 + [0.7] * 3 + [0.0]]), np.array([1.0] * 7 + [100.0])
    assert best_choice(quality) == 0 and best_choice(quality[:, :7]) == 1 and best_choice(quality, weights) == 0
    named = {stacking.Config(): quality[0], stacking.Config(rounds=1): quality[1]}
    simple, other = named
    assert better({simple: quality[0][:7], other: quality[1][:7]}, simple) == other  # type: ignore[type-var]
    assert better(named, simple, weights) == simple  # type: ignore[type-var]


def test_rates_draw_a_mix_like_the_served_one() -> None:
    rates = draw_rates({"none": 80_000, "light": 4_000, "heavy": 16_000}, {"none": 0, "light": 300, "heavy": 700}, 6_000)
    assert rates == pytest.approx({"none": 300 / 80_000, "light": 1_800 / 4_000, "heavy": 4_200 / 16_000})
    assert draw_rates({"heavy": 100}, {"heavy": 9}, 6_000) == {"heavy": 1.0}


def test_an_open_choice_is_shared_and_judged_by_shares_learnt_from_others() -> None:
    """Two lists see one half of a user's taste each: neither is better, and together they are."""
    candidates, _ = window(0, 200, seed=7)
    taste = 2 * (candidates.features["score_item_knn"] + candidates.features["score_popularity"])
    gains = np.random.default_rng(7).random(len(taste)) < 1 / (1 + np.exp(5 - taste))
    labels = labels_in(candidates, gains.astype(np.float32))
    columns = {"stacking": "score_item_knn", "weighted": "score_popularity"}
    ready: dict[str, Strategy] = {name: _Column(column) for name, column in columns.items()}
    lists = lists_of(candidates.rows_of(labels.users), labels, ready)
    start = dict.fromkeys(("none", "light", "heavy"), Choice("strategy", "stacking", "the default"))
    found, joined = shrink(start, lists, candidates, lambda name, part: ready[name].score(part), SERVED, K, HOW)
    assert found["none"] == found["light"] == start["none"], "no user is judged there"
    shares = {part.name: part.share for part in found["heavy"].parts}
    assert sum(shares.values()) == pytest.approx(1) and 0.1 <= shares["stacking"] <= 0.9
    quality = with_chosen(lists, found, joined).quality(("policy", "tonight"), K).mean()
    assert quality > max(float(lists.quality(key, K).mean()) for key in lists.judged) + 0.03
    (row,) = [row for row in judge_served(with_chosen(lists, found, joined), SERVED, K, HOW).metrics if row["kind"] == "policy"]
    assert row["value"] == pytest.approx(quality)


class _Column:
    """A strategy that scores by one column."""

    def __init__(self, column: str) -> None:
        self.column = column

    def score(self, candidates: CandidateSet) -> np.ndarray:
        return candidates.features[self.column]


def test_an_equal_list_changes_nothing_and_a_sure_one_stands_alone() -> None:
    candidates, labels = window(0, 200, seed=8)
    start = dict.fromkeys(("none", "light", "heavy"), Choice("strategy", "stacking", "the default"))

    def heavy(columns: dict[str, str]) -> Choice:
        ready: dict[str, Strategy] = {name: _Column(column) for name, column in columns.items()}
        lists = lists_of(candidates, labels, ready)
        return shrink(start, lists, candidates, lambda name, part: ready[name].score(part), SERVED, K, HOW).choices["heavy"]

    equal = heavy({"stacking": "score_item_knn", "weighted": "score_item_knn"})
    assert equal == start["heavy"], "lists that are the same for every user are no rivals"
    sure = heavy({"stacking": "score_popularity", "weighted": "score_popularity"})
    assert (sure.kind, sure.name) == ("source", "item_knn")


def test_an_ensemble_ranks_as_its_parts_do_and_is_kept_with_them(tmp_path: Path) -> None:
    candidates, _ = window(0, 5, seed=1)
    ready: dict[str, Strategy] = {"weighted": weighted.Strategy(weighted.Config())}
    whole = ensemble_of((Part("source", "item_knn", 1.0),), "for the test")
    half = ensemble_of((Part("source", "item_knn", 0.5), Part("strategy", "weighted", 0.5)), "for the test")
    scores = Policy(dict.fromkeys(("none", "light", "heavy"), whole), ready, 20).score(candidates)
    rows, _ = best_first(candidates.features["z_item_knn"], candidates.items, candidates.starts)
    assert_array_equal(best_first(scores, candidates.items, candidates.starts)[0], rows)
    write_choices(tmp_path / "decision.json", {"heavy": half}, {})
    assert read_choices(tmp_path / "decision.json") == {"heavy": half}
    assert half.strategies == ("weighted",)
    assert Policy({"heavy": half}, ready, 20).score(candidates.rows_of(np.zeros(0, dtype=np.int32))).shape == (0,)
    with pytest.raises(PermanentError, match="model 'als' has no scores here; choose from item_knn, popularity"):
        Policy({"heavy": ensemble_of((Part("source", "als", 1.0),), "")}, ready, 20).require_fit(candidates)
    some = candidates.rows_of(candidates.users[2:4])
    policy = Policy({"heavy": half}, ready, 20)
    assert_array_equal(policy.score(some), policy.score(candidates)[np.isin(candidates.row_users, some.users)])


def test_learnt_weights_heed_who_counts() -> None:
    """Only users with history count: what is learnt from all is what is learnt from them alone."""
    candidates, labels = window(150, 80, seed=12)
    known = candidates.users[candidates.n_history > 0]
    part = candidates.rows_of(known)
    scores = []
    for taught in (replace(candidates, weights=(candidates.n_history > 0).astype(np.float64)), part):
        strategy = strategies.create("learned_weights", Config())
        strategy.fit(taught, gains_of(taught, labels), 5, 1)  # type: ignore[attr-defined]
        scores.append(strategy.score(part))
    assert_array_equal(scores[0], scores[1])

"""Each strategy by hand, on candidates small enough to be checked with a pencil."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec import strategies
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet, load_candidates
from hybridrec.metrics.metrics import judge, ndcg, row_gains
from hybridrec.ranking.labelled import labels_in
from hybridrec.runs.run import Run
from hybridrec.strategies import cascade, feature_augmentation, feature_combination, learned_weights, meta_level, mixed, switching, weighted
from tests.support import made_candidates

NAN = float("nan")


@pytest.fixture
def candidates(small_run: Run) -> CandidateSet:
    return load_candidates(made_candidates.add_candidates(small_run), "ranker")


def candidates_by_hand() -> CandidateSet:
    return made_candidates.candidates_by_hand(
        [1, 1, 1], [4, 5, 6], score_a=[0, 1, 2], score_b=[8, 8, NAN], rank_a=[3, 2, 1], rank_b=[1, 2, NAN],
        z_a=[-1, 0, 1], z_b=[2, 0, NAN],
    )  # fmt: skip


def test_weighted_by_hand() -> None:
    assert_allclose(weighted.Strategy(weighted.Config()).score(candidates_by_hand()), [0.5, 0, 1])
    thrice = weighted.Strategy(weighted.Config(weights="a=3")).score(candidates_by_hand())
    assert_allclose(thrice, [(-3 + 2) / 4, 0, 1])
    assert_allclose(weighted.Strategy(weighted.Config(normaliser="minmax")).score(candidates_by_hand()), [0.25, 0.5, 1])
    assert_allclose(weighted.Strategy(weighted.Config(normaliser="rank", weights="b=0")).score(candidates_by_hand()), [1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("weights", ["alz=1", "a=-1", "a=much", "a=nan", "a=inf"])
def test_weights_that_make_no_sense_are_bad_data(weights: str) -> None:
    with pytest.raises(PermanentError, match=r"\[strategies.weighted\] weights"):
        weighted.Strategy(weighted.Config(weights=weights)).score(candidates_by_hand())


def test_unknown_normaliser_and_option_are_bad_data() -> None:
    with pytest.raises(PermanentError, match="choose from zscore, minmax, rank"):
        weighted.Strategy(weighted.Config(normaliser="softmax"))
    with pytest.raises(PermanentError, match=r"\[strategies.weighted\].*no option 'weight'"):
        strategies.create("weighted", Config(extension_options={"strategies": {"weighted": {"weight": "a=1"}}}))


@pytest.mark.parametrize(
    ("n_history", "expected"),
    [(0, "popularity"), (1, "content_text"), (4, "content_text"), (5, "all"), (20, "all"), (21, "als")],
)
def test_switching_takes_the_branch_of_the_history(n_history: int, expected: str) -> None:
    z = {"popularity": [1, -1], "content_text": [2, -2], "als": [6, -6]}
    columns = {f"{kind}_{name}": values for name, values in z.items() for kind in ("z", "score", "rank")}
    candidates = made_candidates.candidates_by_hand([1, 1], [4, 5], [n_history], **columns)
    value = {name: values[0] for name, values in z.items()} | {"all": 3}
    scores = switching.Strategy(switching.Config()).score(candidates)
    assert_allclose(scores, [value[expected], -value[expected]])


@pytest.mark.parametrize(("n_history", "popular", "content", "als"), [(0, 1, 0, 0), (1, 0.6, 0.4, 0), (30, 0, 0, 1)])
def test_switching_mixes_neighbouring_branches(n_history: int, popular: float, content: float, als: float) -> None:
    names = {"popularity": [1, 1, -2], "content_text": [1, -2, 1], "als": [-2, 1, 1]}
    columns = {f"{kind}_{name}": values for name, values in names.items() for kind in ("z", "score", "rank")}
    candidates = made_candidates.candidates_by_hand([1, 1, 1], [4, 5, 6], [n_history], **columns)
    scores = switching.Strategy(switching.Config(interpolate=True)).score(candidates)
    mixed_by_hand = popular * np.array(names["popularity"]) + content * np.array(names["content_text"]) + als * np.array(names["als"])
    assert_allclose(scores, mixed_by_hand / np.sqrt(2), rtol=1e-6)


def test_mixed_takes_turns_and_passes_over_what_is_there() -> None:
    candidates = made_candidates.candidates_by_hand([1] * 5, [1, 2, 3, 4, 5], rank_a=[1, 2, 3, NAN, NAN], rank_b=[1, NAN, 4, 2, 3])
    # a: 1 2 3, b: 1 4 5 3. Turns: a 1, b 4 (1 is there), a 2, b 5, a 3
    assert_allclose(1 / mixed.Strategy(mixed.Config()).score(candidates), [1, 3, 5, 2, 4])
    # two for a, one for b: 1 2, 4, 3, -, 5
    assert_allclose(1 / mixed.Strategy(mixed.Config("a=2")).score(candidates), [1, 2, 4, 3, 6])
    assert_allclose(1 / mixed.Strategy(mixed.Config("b=0")).score(candidates), [1, 2, 3, NAN, NAN])
    with pytest.raises(PermanentError, match=r"\[strategies.mixed\] quotas: a=1.5, expected a whole number"):
        mixed.Strategy(mixed.Config("a=1.5")).score(candidates)


def test_a_retriever_that_is_not_in_the_candidates_is_passed_over() -> None:
    candidates = candidates_by_hand()
    assert_array_equal(
        weighted.Strategy(weighted.Config(weights="als=3")).score(candidates), weighted.Strategy(weighted.Config()).score(candidates)
    )


def test_feature_combination_is_the_nets_or_the_blend(caplog: pytest.LogCaptureFixture) -> None:
    candidates = candidates_by_hand()
    strategy = feature_combination.Strategy(feature_combination.Config())
    assert_allclose(strategy.score(candidates), [0.5, 0, 1])
    strategy.score(candidates)
    assert [record.message for record in caplog.records] == [
        "feature_combination: no model of feature_net,attention_fusion in the candidates, the list is the plain blend"
    ]
    nets = made_candidates.candidates_by_hand(
        [1, 1, 1], [4, 5, 6], z_feature_net=[2, 0, NAN], z_attention_fusion=[1, NAN, NAN], z_a=[0, 0, -3], rank_a=[1, 2, 3]
    )
    assert_allclose(strategy.score(nets), [1.5, 0, -3])


def test_learned_weights_find_the_retriever_that_is_right() -> None:
    candidates = made_candidates.random_candidates(60, 30)
    liked = candidates.features["z_als"] + np.random.default_rng(3).normal(scale=0.5, size=len(candidates.items))
    gains = (np.nan_to_num(liked, nan=-9) > 1.3).astype(np.float32)
    strategy = learned_weights.Strategy(learned_weights.Config())
    strategy.fit(candidates, gains, seed=1, threads=1)
    assert max(strategy.weights, key=strategy.weights.__getitem__) == "als"
    labels = labels_in(candidates, gains)
    equal = weighted.Strategy(weighted.Config()).score(candidates)
    assert (
        ndcg(judge(candidates, strategy.score(candidates), labels, 10), 10).mean()
        > ndcg(judge(candidates, equal, labels, 10), 10).mean() + 0.1
    )


def test_labels_that_say_nothing_leave_equal_weights() -> None:
    candidates = made_candidates.random_candidates(40, 30)
    gains = (np.random.default_rng(5).random(len(candidates.items)) < 0.1).astype(np.float32)
    strategy = learned_weights.Strategy(learned_weights.Config())
    strategy.fit(candidates, gains, seed=1, threads=1)
    assert set(strategy.weights.values()) == {0.0}
    assert_allclose(strategy.score(candidates), weighted.Strategy(weighted.Config()).score(candidates), rtol=1e-6)


def test_cascade_reorders_the_first_and_leaves_the_rest_behind() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1] * 4, [1, 2, 3, 4], z_a=[3, 2, 1, 0], score_a=[3, 2, 1, 0], rank_a=[1, 2, 3, 4], score_fm=[0, 9, 99, 50]
    )
    strategy = cascade.Strategy(cascade.Config(keep=2), {"score_a": 0.0, "score_fm": 3.0})
    assert (np.argsort(-strategy.score(candidates)) + 1).tolist() == [2, 1, 3, 4]


def test_meta_level_learns_which_factor_counts() -> None:
    candidates = made_candidates.random_candidates(60, 30)
    gains = (candidates.features["factor_pure_svd_1"] > 1.2).astype(np.float32)
    strategy = meta_level.Strategy(meta_level.Config())
    strategy.fit(candidates, gains, seed=1, threads=1)
    assert max(strategy.weights, key=strategy.weights.__getitem__) == "factor_pure_svd_1"


def test_feature_augmentation_fills_missing_collaborative_scores_with_content() -> None:
    columns = {f"{kind}_{name}": values for name, values in {"als": [NAN, 1], "content_text": [2, -2]}.items() for kind in ("z", "rank")}
    candidates = made_candidates.candidates_by_hand([1, 1], [4, 5], [0], user_log_n_items=[0, 0], item_log_n_users=[0, 3], **columns)  # type: ignore[arg-type]
    base, seen = feature_augmentation.Strategy(feature_augmentation.Config()).inputs(candidates)
    assert_allclose(base, [2, -0.5])
    assert_allclose(seen["als"], [2, 1])
    assert_allclose(seen["content_of_light_users"], [2, -2])
    assert_allclose(seen["content_of_rare_items"], [2, -0.5])


def test_stacking_ranks_hits_above_misses(small_run: Run, candidates: CandidateSet) -> None:
    from hybridrec.metrics.labels import load_labels

    gains = row_gains(candidates, load_labels(small_run, "ranker"))
    strategy = strategies.create("stacking", Config())
    assert isinstance(strategy, strategies.LearntStrategy)
    metrics = strategy.fit(candidates, gains, seed=1, threads=1)
    assert 0 <= metrics["mix"] <= 1
    assert strategy.score(candidates)[gains > 0].mean() > strategy.score(candidates)[gains == 0].mean()

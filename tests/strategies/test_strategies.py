"""What every strategy must hold, and the two without learning by hand."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pools
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec import discover, strategies
from hybridrec.config import Config
from hybridrec.errors import BadData
from hybridrec.evaluation.metrics import row_gains
from hybridrec.ranking.pool import Pool, load_pool
from hybridrec.run import Run
from hybridrec.strategies import switching, weighted

NAN = float("nan")
NAMES = discover.names("strategies")


@pytest.fixture
def pool(small_run: Run) -> Pool:
    return load_pool(pools.add_candidates(small_run), "rank")


def ready(name: str, pool: Pool) -> strategies.Strategy:
    """The strategy, fitted on labels that follow the item's number if it learns."""
    strategy = strategies.create(name, Config())
    if isinstance(strategy, strategies.LearntStrategy):
        strategy.fit(pool, (pool.items % 5 == 0).astype(np.float32), seed=1, threads=1)
    return strategy


@pytest.mark.parametrize("name", NAMES)
def test_scores_every_row_and_repeats_itself(name: str, pool: Pool) -> None:
    strategy = ready(name, pool)
    scores = strategy.score(pool)
    assert scores.dtype == np.float32
    assert scores.shape == pool.items.shape
    assert np.isfinite(scores).any()
    assert_array_equal(scores, ready(name, pool).score(pool))


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_users_scores_as_in_the_whole(name: str, pool: Pool) -> None:
    strategy = ready(name, pool)
    some = pool.users[5:17]
    assert_array_equal(strategy.score(pool.rows_of(some)), strategy.score(pool)[np.isin(pool.row_users, some)])


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    module = discover.member("strategies", name)
    assert len(module.DOC) > 20
    assert fields(module.Config)
    assert isinstance(module.Strategy(module.Config()), strategies.Strategy)
    assert strategies.learns(name) == isinstance(module.Strategy(module.Config()), strategies.LearntStrategy)


@pytest.mark.parametrize("name", [name for name in NAMES if strategies.learns(name)])
def test_saved_equals_loaded(name: str, pool: Pool, tmp_path: Path) -> None:
    strategy = ready(name, pool)
    assert isinstance(strategy, strategies.LearntStrategy)
    strategy.save(tmp_path)
    assert_array_equal(strategies.load(name, Config(), tmp_path).score(pool), strategy.score(pool))


@pytest.mark.parametrize("name", [name for name in NAMES if strategies.learns(name)])
def test_refit_with_the_same_choices_is_the_same(name: str, pool: Pool) -> None:
    strategy = ready(name, pool)
    assert isinstance(strategy, strategies.LearntStrategy)
    again = strategy.unfitted()
    again.fit(pool, (pool.items % 5 == 0).astype(np.float32), seed=1, threads=1)
    assert_array_equal(again.score(pool), strategy.score(pool))


def test_stacking_must_be_fitted(pool: Pool) -> None:
    with pytest.raises(BadData, match=r"not fitted; run python -m jobs.train_ranker"):
        strategies.create("stacking", Config()).score(pool)


def hand_pool() -> Pool:
    return pools.hand_pool(
        [1, 1, 1], [4, 5, 6], score_a=[0, 1, 2], score_b=[8, 8, NAN], rank_a=[3, 2, 1], rank_b=[1, 2, NAN],
        z_a=[-1, 0, 1], z_b=[2, 0, NAN],
    )  # fmt: skip


def test_weighted_by_hand() -> None:
    assert_allclose(weighted.Strategy(weighted.Config()).score(hand_pool()), [0.5, 0, 1])
    thrice = weighted.Strategy(weighted.Config(weights="a=3")).score(hand_pool())
    assert_allclose(thrice, [(-3 + 2) / 4, 0, 1])
    assert_allclose(weighted.Strategy(weighted.Config(normaliser="minmax")).score(hand_pool()), [0.25, 0.5, 1])
    assert_allclose(weighted.Strategy(weighted.Config(normaliser="rank", weights="b=0")).score(hand_pool()), [1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("weights", ["als=1", "a=-1", "a=much", "a=nan", "a=inf"])
def test_weights_that_make_no_sense_are_bad_data(weights: str) -> None:
    with pytest.raises(BadData, match=r"\[strategies.weighted\] weights"):
        weighted.Strategy(weighted.Config(weights=weights)).score(hand_pool())


def test_unknown_normaliser_and_option_are_bad_data() -> None:
    with pytest.raises(BadData, match="choose from zscore, minmax, rank"):
        weighted.Strategy(weighted.Config(normaliser="softmax"))
    with pytest.raises(BadData, match=r"\[strategies.weighted\].*no option 'weight'"):
        strategies.create("weighted", Config(members={"strategies": {"weighted": {"weight": "a=1"}}}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("n_history", "expected"),
    [(0, "popularity"), (1, "content_text"), (4, "content_text"), (5, "all"), (20, "all"), (21, "als")],
)
def test_switching_takes_the_branch_of_the_history(n_history: int, expected: str) -> None:
    z = {"popularity": [1, -1], "content_text": [2, -2], "als": [6, -6]}
    columns = {f"{kind}_{name}": values for name, values in z.items() for kind in ("z", "score", "rank")}
    pool = pools.hand_pool([1, 1], [4, 5], [n_history], **columns)
    value = {name: values[0] for name, values in z.items()} | {"all": 3}
    scores = switching.Strategy(switching.Config()).score(pool)
    assert_allclose(scores, [value[expected], -value[expected]])


def test_stacking_ranks_hits_above_misses(small_run: Run, pool: Pool) -> None:
    from hybridrec.evaluation.labels import load_labels

    gains = row_gains(pool, load_labels(small_run, "rank"))
    strategy = strategies.create("stacking", Config())
    assert isinstance(strategy, strategies.LearntStrategy)
    metrics = strategy.fit(pool, gains, seed=1, threads=1)
    assert 0 <= metrics["mix"] <= 1
    assert strategy.score(pool)[gains > 0].mean() > strategy.score(pool)[gains == 0].mean()

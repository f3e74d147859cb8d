"""What every strategy must hold: this runs over each file that is found, built in or not."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np
import pools
import pytest
from numpy.testing import assert_array_equal

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.base.errors import BadData
from hybridrec.candidates.groups import Floats
from hybridrec.candidates.pool import Pool

NAMES = extensions.names("strategies")
LEARNT = tuple(name for name in NAMES if strategies.learns(name))
NAN = np.float32("nan")


@pytest.fixture(scope="module")
def pool() -> Pool:
    """40 users with 30 candidates each."""
    return pools.random_pool(n_users=40, n_rows=30)


@pytest.fixture(scope="module")
def fitted(pool: Pool) -> dict[str, strategies.Strategy]:
    """Every strategy, ready to score."""
    return {name: ready(name, pool) for name in NAMES}


def ready(name: str, pool: Pool) -> strategies.Strategy:
    """The strategy, fitted on labels that follow als if it learns."""
    strategy = strategies.create(name, Config())
    if isinstance(strategy, strategies.LearntStrategy):
        strategy.fit(pool, gains_of(pool), seed=1, threads=1)
    return strategy


def gains_of(pool: Pool) -> Floats:
    """1 for what als, or the only source, likes best."""
    return (np.nan_to_num(pool.features[f"z_{pool.sources[0]}"]) > 1.2).astype(np.float32)


def with_columns(pool: Pool, **columns: Floats) -> Pool:
    return replace(pool, features=pool.features | columns)


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    module = extensions.member("strategies", name)
    assert len(module.DOC) > 20
    assert is_dataclass(module.Config)
    assert isinstance(module.Strategy(module.Config()), strategies.Strategy)
    assert strategies.learns(name) == isinstance(module.Strategy(module.Config()), strategies.LearntStrategy)


@pytest.mark.parametrize("name", NAMES)
def test_scores_every_row_and_repeats_itself(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    scores = fitted[name].score(pool)
    assert scores.dtype == np.float32
    assert scores.shape == pool.items.shape
    assert np.isfinite(scores[~np.isnan(scores)]).all()
    assert np.isfinite(scores).sum() > len(scores) / 2
    assert_array_equal(scores, ready(name, pool).score(pool))


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_users_scores_as_in_the_whole(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    some = pool.users[5:17]
    assert_array_equal(fitted[name].score(pool.rows_of(some)), fitted[name].score(pool)[np.isin(pool.row_users, some)])


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_pool_has_no_scores(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    assert fitted[name].score(pool.rows_of(pool.users[:0])).shape == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_a_user_without_any_score_disturbs_nobody(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    mute = pool.row_users == pool.users[3]
    silent = {
        column: np.where(mute, NAN, values) for column, values in pool.features.items() if column.startswith(("score_", "rank_", "z_"))
    }
    scores = fitted[name].score(with_columns(pool, **silent))
    assert_array_equal(scores[~mute], fitted[name].score(pool)[~mute])
    assert not np.isinf(scores[mute]).any()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_column_is_harmless_or_refused(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    more = with_columns(pool, weather=np.ones(len(pool.items), dtype=np.float32))
    try:
        scores = fitted[name].score(more)
    except BadData as refusal:
        assert "columns" in str(refusal)
    else:
        assert_array_equal(scores, fitted[name].score(pool))


@pytest.mark.parametrize("name", NAMES)
def test_one_source_is_enough(name: str, pool: Pool) -> None:
    alone = pool
    for source in pool.sources[1:]:
        alone = alone.without(source)
    assert np.isfinite(ready(name, alone).score(alone)).any()


@pytest.mark.parametrize("name", LEARNT)
def test_saved_equals_loaded(name: str, pool: Pool, fitted: dict[str, strategies.Strategy], tmp_path: Path) -> None:
    strategy = fitted[name]
    assert isinstance(strategy, strategies.LearntStrategy)
    strategy.save(tmp_path)
    assert_array_equal(strategies.load(name, Config(), tmp_path).score(pool), strategy.score(pool))


@pytest.mark.parametrize("name", LEARNT)
def test_refit_with_the_same_choices_is_the_same(name: str, pool: Pool, fitted: dict[str, strategies.Strategy]) -> None:
    strategy = fitted[name]
    assert isinstance(strategy, strategies.LearntStrategy)
    again = strategy.unfitted()
    again.fit(pool, gains_of(pool), seed=1, threads=1)
    assert_array_equal(again.score(pool), strategy.score(pool))


@pytest.mark.parametrize("name", LEARNT)
def test_without_labels_it_still_scores(name: str, pool: Pool) -> None:
    for of in (pool, pool.rows_of(pool.users[:0])):
        strategy = strategies.create(name, Config())
        assert isinstance(strategy, strategies.LearntStrategy)
        metrics = strategy.fit(of, np.zeros(len(of.items), dtype=np.float32), seed=1, threads=1)
        assert all(np.isfinite(value) for value in metrics.values())
        assert np.isfinite(strategy.score(of)).all()


@pytest.mark.parametrize("name", LEARNT)
def test_must_be_fitted(name: str, pool: Pool) -> None:
    with pytest.raises(BadData, match=rf"{name}: not fitted; run python -m jobs.train_ranker"):
        strategies.create(name, Config()).score(pool)

"""Contract of every strategy: the suite runs for each file that is found, built in or not."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from tests.support import made_candidates

NAMES = extensions.names("strategies")
LEARNT = tuple(name for name in NAMES if strategies.learns(name))
NAN = np.float32("nan")


@pytest.fixture(scope="module")
def candidates() -> CandidateSet:
    """Provide 40 users with 30 candidates each."""
    return made_candidates.random_candidates(n_users=40, n_rows=30)


@pytest.fixture(scope="module")
def fitted(candidates: CandidateSet) -> dict[str, strategies.Strategy]:
    """Provide every strategy, ready to score."""
    return {name: ready(name, candidates) for name in NAMES}


def ready(name: str, candidates: CandidateSet) -> strategies.Strategy:
    """Return the strategy, fitted on labels that follow als if it learns."""
    strategy = strategies.create(name, Config())
    if isinstance(strategy, strategies.LearntStrategy):
        strategy.fit(candidates, gains_of(candidates), seed=1, threads=1)
    return strategy


def gains_of(candidates: CandidateSet) -> Floats:
    """Return 1 for what als, or the only retriever, likes best."""
    return (np.nan_to_num(candidates.features[f"z_{candidates.retrievers[0]}"]) > 1.2).astype(np.float32)


def with_columns(candidates: CandidateSet, **columns: Floats) -> CandidateSet:
    return replace(candidates, features=candidates.features | columns)


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    module = extensions.module("strategies", name)
    assert len(module.DOC) > 20
    assert is_dataclass(module.Config)
    assert isinstance(module.Strategy(module.Config()), strategies.Strategy)  # type: ignore[operator]
    assert strategies.learns(name) == isinstance(module.Strategy(module.Config()), strategies.LearntStrategy)  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
def test_scores_every_row_and_repeats_itself(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    scores = fitted[name].score(candidates)
    assert scores.dtype == np.float32
    assert scores.shape == candidates.items.shape
    assert np.isfinite(scores[~np.isnan(scores)]).all()
    assert np.isfinite(scores).sum() > len(scores) / 2
    assert_array_equal(scores, ready(name, candidates).score(candidates))


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_users_scores_as_in_the_whole(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    some = candidates.users[5:17]
    assert_array_equal(fitted[name].score(candidates.rows_of(some)), fitted[name].score(candidates)[np.isin(candidates.row_users, some)])


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_candidates_has_no_scores(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    assert fitted[name].score(candidates.rows_of(candidates.users[:0])).shape == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_a_user_without_any_score_disturbs_nobody(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    mute = candidates.row_users == candidates.users[3]
    silent = {
        column: np.where(mute, NAN, values)
        for column, values in candidates.features.items()
        if column.startswith(("score_", "rank_", "z_"))
    }
    scores = fitted[name].score(with_columns(candidates, **silent))
    assert_array_equal(scores[~mute], fitted[name].score(candidates)[~mute])
    assert not np.isinf(scores[mute]).any()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_column_is_harmless_or_refused(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    more = with_columns(candidates, weather=np.ones(len(candidates.items), dtype=np.float32))
    try:
        scores = fitted[name].score(more)
    except PermanentError as refusal:
        assert "columns" in str(refusal)
    else:
        assert_array_equal(scores, fitted[name].score(candidates))


@pytest.mark.parametrize("name", NAMES)
def test_one_retriever_is_enough(name: str, candidates: CandidateSet) -> None:
    alone = candidates
    for retriever in candidates.retrievers[1:]:
        alone = alone.without(retriever)
    assert np.isfinite(ready(name, alone).score(alone)).any()


@pytest.mark.parametrize("name", LEARNT)
def test_saved_equals_loaded(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy], tmp_path: Path) -> None:
    strategy = fitted[name]
    assert isinstance(strategy, strategies.LearntStrategy)
    strategy.save(tmp_path)
    assert_array_equal(strategies.load(name, Config(), tmp_path).score(candidates), strategy.score(candidates))


@pytest.mark.parametrize("name", LEARNT)
def test_refit_with_the_same_choices_is_the_same(name: str, candidates: CandidateSet, fitted: dict[str, strategies.Strategy]) -> None:
    strategy = fitted[name]
    assert isinstance(strategy, strategies.LearntStrategy)
    again = strategy.unfitted()
    again.fit(candidates, gains_of(candidates), seed=1, threads=1)
    assert_array_equal(again.score(candidates), strategy.score(candidates))


@pytest.mark.parametrize("name", LEARNT)
def test_without_labels_it_still_scores(name: str, candidates: CandidateSet) -> None:
    for of in (candidates, candidates.rows_of(candidates.users[:0])):
        strategy = strategies.create(name, Config())
        assert isinstance(strategy, strategies.LearntStrategy)
        metrics = strategy.fit(of, np.zeros(len(of.items), dtype=np.float32), seed=1, threads=1)
        assert all(np.isfinite(value) for value in metrics.values())
        assert np.isfinite(strategy.score(of)).all()


@pytest.mark.parametrize("name", LEARNT)
def test_must_be_fitted(name: str, candidates: CandidateSet) -> None:
    with pytest.raises(PermanentError, match=rf"{name}: not fitted; run python -m jobs.train_ranker"):
        strategies.create(name, Config()).score(candidates)

"""Contract of every estimator, and what all of them share: the interval, the effective sample, the refusal."""

from __future__ import annotations

import numpy as np
import pytest

from hybridrec import estimators
from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.estimators import Logged, effective_sample, estimate, standard_error
from tests.support import logged_arms

NAMES = extensions.names("estimators")


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    assert len(extensions.module("estimators", name).DOC) > 20


@pytest.mark.parametrize("name", NAMES)
def test_of_the_policy_that_was_logged_it_is_the_mean(name: str) -> None:
    rewards = np.random.default_rng(1).integers(0, 2, 5_000).astype(float)
    same = Logged(rewards, np.ones(5_000), predicted=np.full(5_000, 0.4), expected=np.full(5_000, 0.4))
    found = estimate(name, same)
    assert found.value == pytest.approx(rewards.mean(), abs=1e-12)
    assert found.effective == pytest.approx(5_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * rewards.std() / np.sqrt(5_000), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_its_interval_covers_the_truth(name: str) -> None:
    """95 % of 400 logs; with 400 the share itself has a standard error of 1.1 %."""
    world = logged_arms.World()
    covered = [bool(found.low <= world.truth <= found.high) for found in (estimate(name, log) for log in world.logs(400, seed=21))]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("name", NAMES)
def test_few_rows_that_speak_for_the_policy_give_no_estimate(name: str) -> None:
    weights = np.full(10_000, 0.01)
    weights[:2] = 4_950.0
    log = Logged(np.ones(10_000), weights, predicted=np.ones(10_000), expected=np.ones(10_000))
    assert log.weights.mean() == pytest.approx(1.0, abs=0.01)  # looks harmless
    found = estimate(name, log)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert "10000 rows say as much of this policy as 2.041 of its own, 100 are needed" in found.text()


@pytest.mark.parametrize(("effective", "n_rows", "refused"), [(100, 5_000, False), (99.9, 5_000, True), (400, 50_000, True), (0, 50, True)])
def test_the_least_sample(effective: float, n_rows: int, refused: bool) -> None:
    assert bool(estimators.refusal(effective, n_rows)) == refused


def test_the_effective_sample_is_that_of_equal_weights() -> None:
    assert effective_sample(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_sample(np.zeros(3)) == 0


def test_rows_of_a_user_go_together() -> None:
    """The same rows ten times over say no more than once, if it is known that they belong together."""
    influence = np.random.default_rng(2).normal(size=300)
    tenfold, units = np.repeat(influence, 10), np.repeat(np.arange(300), 10)
    assert standard_error(tenfold, units) == pytest.approx(standard_error(influence, None))
    assert standard_error(tenfold, None) < 0.4 * standard_error(tenfold, units)


def test_doubly_robust_needs_a_model() -> None:
    with pytest.raises(PermanentError, match="no predictions of a model; choose ips or snips"):
        estimate("doubly_robust", Logged(np.ones(500), np.ones(500)))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (Logged(np.zeros(0), np.zeros(0)), "there are no rows; serve lists"),
        (Logged(np.ones(2), np.array([1.0, np.inf])), "weights are not finite numbers, .* may not be 0 or missing"),
        (Logged(np.ones(2), np.array([1.0, -1.0])), "a weight is -1, expected"),
    ],
)
def test_rows_that_mean_nothing(log: Logged, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        estimate("ips", log)

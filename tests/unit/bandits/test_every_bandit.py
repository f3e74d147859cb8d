"""Contract of every bandit: probabilities with a floor that follow from the counts, and learning that is worth it."""

from __future__ import annotations

from dataclasses import is_dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import beta

from benchmarks.loop import bandits as simulation
from benchmarks.loop.bandits import Shop
from hybridrec.bandits import Counts, arm_probabilities, with_floor
from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.trying import Bandit

NAMES = extensions.names("bandits")
NONE = Counts(np.zeros(4), np.zeros(4))


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    module = extensions.module("bandits", name)
    assert len(module.DOC) > 20
    assert is_dataclass(module.Config)


@pytest.mark.parametrize("name", NAMES)
def test_without_outcomes_all_arms_are_alike(name: str) -> None:
    assert_allclose(arm_probabilities(name, NONE, Config()), np.full(4, 0.25), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trials", [1, 50, 100_000])
def test_no_arm_falls_below_the_floor(name: str, trials: float) -> None:
    counts = Counts(np.array([0.0, 0.0, 0.0, 1.0]) * trials, np.full(4, float(trials)))
    found = arm_probabilities(name, counts, Config())
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() >= 0.05 - 1e-12
    assert found.argmax() == 3
    assert arm_probabilities(name, counts, Config(bandit=Bandit(floor=0.1))).min() >= 0.1 - 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_segments_at_once_are_segments_one_by_one(name: str) -> None:
    rng = np.random.default_rng(1)
    trials = rng.integers(0, 200, (3, 5)).astype(float)
    counts = Counts(np.floor(trials * rng.random((3, 5))), trials)
    whole = arm_probabilities(name, counts, Config())
    for row in range(3):
        assert_array_equal(arm_probabilities(name, Counts(counts.successes[row], counts.trials[row]), Config()), whole[row])


@pytest.mark.parametrize("name", NAMES)
def test_it_earns_more_than_equal_shares(name: str) -> None:
    equal, own, share = simulation.simulate(name, Shop(nights=14), repetitions=20, seed=5)
    assert own < 0.6 * equal
    assert share > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_a_posterior_that_is_never_updated_earns_no_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: the test above must see it."""
    monkeypatch.setattr(
        simulation, "arm_probabilities", lambda name, counts, config: arm_probabilities(name, Counts(*map(np.zeros_like, counts)), config)
    )
    equal, own, share = simulation.simulate(name, Shop(nights=14), repetitions=20, seed=5)
    assert own > 0.95 * equal
    assert share == pytest.approx(0.25)


def test_the_floor_is_taken_from_all_alike() -> None:
    assert_allclose(with_floor(np.array([1.0, 0.0, 0.0, 0.0]), 0.05), [0.85, 0.05, 0.05, 0.05])


def test_thompson_plays_an_arm_as_often_as_it_is_likely_to_be_the_best() -> None:
    """Against draws: 400,000 of each arm's share."""
    counts = Counts(np.array([3.0, 40.0, 12.0]), np.array([40.0, 400.0, 100.0]))
    rng = np.random.default_rng(6)
    draws = np.stack([beta.rvs(1 + s, 1 + n - s, size=400_000, random_state=rng) for s, n in zip(*counts, strict=True)])
    expected = np.bincount(draws.argmax(axis=0), minlength=3) / 400_000
    found = extensions.module("bandits", "thompson").probabilities(counts, extensions.module("bandits", "thompson").Config())
    assert_allclose(found, expected, atol=0.004)


def test_epsilon_greedy_shares_between_equals() -> None:
    module = extensions.module("bandits", "epsilon_greedy")
    counts = Counts(np.array([10.0, 10.0, 1.0]), np.array([50.0, 50.0, 50.0]))
    assert_allclose(module.probabilities(counts, module.Config(epsilon=0.3)), [0.45, 0.45, 0.1])


def test_an_unknown_option_is_refused() -> None:
    config = replace(Config(), extension_options={"bandits": {"thompson": {"priors": 2.0}}})
    with pytest.raises(PermanentError, match=r"\[bandits.thompson\]: there is no option 'priors'"):
        arm_probabilities("thompson", NONE, config)

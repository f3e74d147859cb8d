"""The published figures of the Open Bandit Dataset, and a second implementation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridrec.base import extensions
from hybridrec.estimators import Logged, estimate
from tests.support import open_bandit
from tests.support.open_bandit import Sample

VALUE, RATIO = 0.00455288, 1.1981263


@pytest.fixture(scope="module")
def policy() -> NDArray[np.float64]:
    """Provide the policy to be judged, on the campaign `all`."""
    open_bandit.require()
    return open_bandit.bernoulli_thompson("all")


@pytest.fixture(scope="module")
def rows(policy: NDArray[np.float64]) -> Sample:
    """Provide the rows that were shown at random."""
    return open_bandit.sample("random", "all")


def test_the_published_value(rows: Sample, policy: NDArray[np.float64]) -> None:
    found = estimate("ips", open_bandit.logged(rows, policy))
    assert found.value == pytest.approx(VALUE, abs=1e-6)
    assert found.value / rows.rewards.mean() == pytest.approx(RATIO, abs=1e-6)
    truth = open_bandit.sample("bts", "all").rewards.mean()
    assert found.low <= truth <= found.high


def test_a_policy_of_which_the_log_says_nothing_is_refused() -> None:
    open_bandit.require()
    rows = open_bandit.sample("bts", "women")
    n_items = int(rows.items.max()) + 1
    at_random = open_bandit.logged(rows, np.full((n_items, open_bandit.PLACES), 1 / n_items))
    found = estimate("ips", at_random)
    assert found.effective == pytest.approx(2.08, abs=0.005)
    assert "10000 rows say as much of this policy as 2.0" in found.refused
    assert np.isnan(found.value)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("ips", "InverseProbabilityWeighting"),
        ("snips", "SelfNormalizedInverseProbabilityWeighting"),
        ("doubly_robust", "DoublyRobust"),
    ],
)
def test_a_second_implementation(name: str, theirs: str, rows: Sample, policy: NDArray[np.float64]) -> None:
    """For each estimator: a new one needs its name in the list above."""
    n, at = len(rows.items), np.arange(len(rows.items))
    policies = np.tile(policy, (n, 1, 1))
    model = np.random.default_rng(1).uniform(0, 0.01, policies.shape)
    here = Logged(
        rows.rewards,
        policy[rows.items, rows.places] / rows.probabilities,
        None,
        model[at, rows.items, rows.places],
        (model[at, :, rows.places] * policies[at, :, rows.places]).sum(axis=1),
    )
    second = getattr(open_bandit.second_implementation(), theirs)()
    there = second.estimate_policy_value(
        reward=rows.rewards,
        action=rows.items,
        pscore=rows.probabilities,
        action_dist=policies,
        position=rows.places,
        estimated_rewards_by_reg_model=model,
    )
    assert estimate(name, here).value == pytest.approx(float(there), abs=1e-12)


def test_each_estimator_has_a_peer() -> None:
    assert extensions.names("estimators") == ("doubly_robust", "ips", "snips")

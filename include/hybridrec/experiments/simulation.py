"""Simulate many experiments at once: how often a way of deciding finds what is not there, and how often what is."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hybridrec.experiments.bounds import ALPHA, bounds
from hybridrec.experiments.estimates import Moments, difference_of_moments
from hybridrec.experiments.sequence import multiplier

Floats = NDArray[np.float64]
Way = Literal["group_sequential", "once", "peeking", "bonferroni", "confidence_sequence"]


class Plan(NamedTuple):
    """Simulated experiments alike: users of an arm who arrive between two looks, each with an outcome of 0 or 1."""

    runs: int = 20_000
    looks: int = 14
    users_a_look: int = 1_000
    rate: float = 0.1


def statistics(plan: Plan, uplift: float, seed: int) -> Floats:
    """Return z at each look of each run, (runs, looks). uplift: added to the rate of the treated."""
    generator = np.random.default_rng(seed)
    arms = []
    users = np.arange(1, plan.looks + 1, dtype=np.float64) * plan.users_a_look  # (looks,)
    for rate in (plan.rate, plan.rate + uplift):
        successes = generator.binomial(plan.users_a_look, rate, (plan.runs, plan.looks)).cumsum(axis=1)
        mean = successes / users
        arms.append(Moments(users, mean, mean * (1 - mean) * users / (users - 1)))
    estimate, error = difference_of_moments(*arms)
    return np.divide(estimate, error, out=np.zeros_like(estimate), where=error > 0)


def uplift_for(plan: Plan, power: float = 0.8, alpha: float = ALPHA) -> float:
    """Return the uplift that a test that looks once, at the end, finds with that power."""
    wanted = norm.isf(alpha / 2) + norm.isf(1 - power)
    users, uplift = plan.looks * plan.users_a_look, 0.0
    for _ in range(20):  # the spread of the treated follows from the uplift
        treated = plan.rate + uplift
        uplift = float(wanted * np.sqrt((plan.rate * (1 - plan.rate) + treated * (1 - treated)) / users))
    return uplift


def limits(way: Way, looks: int, alpha: float = ALPHA) -> Floats:
    """Return the bound of |z| at each look, (looks,)."""
    fractions = np.arange(1, looks + 1) / looks
    once = float(norm.isf(alpha / 2))
    if way == "group_sequential":
        return bounds(tuple(fractions), alpha)
    if way == "confidence_sequence":
        return multiplier(fractions, 1.0, alpha)
    if way == "bonferroni":
        return np.full(looks, norm.isf(alpha / looks / 2))
    return np.full(looks, once) if way == "peeking" else np.append(np.full(looks - 1, np.inf), once)


def share_decided(z: Floats, way: Way, alpha: float = ALPHA) -> float:
    """Return the share of runs that cross the bound at some look."""
    return float((np.abs(z) >= limits(way, z.shape[1], alpha)).any(axis=1).mean())

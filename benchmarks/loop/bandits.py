"""Arms, estimates and objectives: the published figures, regret in simulations, coverage of intervals.

A ratio is a share of a target, so 1.00 just reaches it: 1e-6 over the error of a published figure, the regret that is allowed over the one
that was measured, half the width of the allowed band over the distance from its middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Claim
from hybridrec.bandits import Counts, arm_probabilities
from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import best_first
from hybridrec.estimators import estimate
from hybridrec.policy.boost import Boost, boosted
from hybridrec.strategies.adaptive_weights import hedge
from tests.support import logged_arms, open_bandit

OBD_VALUE, OBD_RATIO, TOLERANCE = 0.00455288, 1.1981263, 1e-6
MOST = 100.0  # a ratio above says nothing more
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Shop:
    """A segment of a shop whose users take something by chance: chances of each arm, users a night, nights."""

    chances: tuple[float, ...] = (0.05, 0.05, 0.06, 0.08)
    n_users: int = 2_000
    nights: int = 60


def claims() -> list[Claim]:
    """Return all claims; those about the Open Bandit sample only if it is there."""
    plain, weighed, _ = simulate("thompson", Shop(), repetitions=40, seed=1)
    fortnight = simulate("thompson", Shop(nights=14), repetitions=40, seed=2)[2]
    return [
        *(open_bandit_claims() if open_bandit.available() else []),
        Claim("thompson_regret", plain / weighed, 2.0),
        Claim("hedge_regret", hedge_bound(200, 8) / hedge_regret(200, 8, repetitions=500, seed=3), 1.0),
        Claim("bandit_share", fortnight, 0.8),
        Claim("ope_coverage", min(MOST, 0.02 / max(abs(coverage - 0.95) for coverage in coverages(400, seed=21).values())), 1.0),
        Claim("exposure_in_lambda", rising_steps((0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6), seed=4), 1.0),
    ]


def open_bandit_claims() -> list[Claim]:
    """Return what the value of Bernoulli Thompson sampling, estimated from what was shown at random, is off the published figures."""
    rows = open_bandit.sample("random", "all")
    value = estimate("ips", open_bandit.logged(rows, open_bandit.bernoulli_thompson("all"))).value
    errors = {"obd_ips": abs(value - OBD_VALUE), "obd_ratio": abs(value / rows.rewards.mean() - OBD_RATIO)}
    return [Claim(name, TOLERANCE / max(error, TOLERANCE / MOST), 1.0) for name, error in errors.items()]


def simulate(bandit: str, shop: Shop, repetitions: int, seed: int) -> tuple[float, float, float]:
    """Play a bandit in nightly batches, all repetitions at once.

    Returns the mean regret of equal shares, that of the bandit, and the mean share of the best arm on the last night.
    """
    rng, config = np.random.default_rng(seed), Config()
    chances = np.array(shop.chances)
    counts = Counts(np.zeros((repetitions, len(chances))), np.zeros((repetitions, len(chances))))
    regret, probabilities = np.zeros(repetitions), np.empty((repetitions, len(chances)))
    for _ in range(shop.nights):
        probabilities = arm_probabilities(bandit, counts, config)
        drawn = rng.multinomial(shop.n_users, probabilities)
        taken = rng.binomial(drawn, chances)
        counts = Counts(counts.successes + taken, counts.trials + drawn)
        regret += (drawn * (chances.max() - chances)).sum(axis=1)
    equal = shop.nights * shop.n_users * float((chances.max() - chances).mean())
    return equal, float(regret.mean()), float(probabilities[:, int(chances.argmax())].mean())


def hedge_regret(nights: int, n: int, repetitions: int, seed: int) -> float:
    """Return the largest regret of Hedge over sequences of losses: half of them by chance, half against it."""
    rng = np.random.default_rng(seed)
    sums, own = np.zeros((repetitions, n)), np.zeros(repetitions)
    chances = rng.uniform(0.2, 0.8, (repetitions, n))
    for night in range(nights):
        weights = hedge(sums, night)
        losses = (rng.random((repetitions, n)) < chances).astype(np.float64)
        against = weights >= np.sort(weights, axis=1)[:, -(n // 2), None]  # the retrievers that are trusted most lose
        losses[::2] = against[::2]
        own += (weights * losses).sum(axis=1)
        sums += losses
    return float((own - sums.min(axis=1)).max())


def hedge_bound(nights: int, n: int) -> float:
    """Return the bound of the regret: Cesa-Bianchi and Lugosi 2006, theorem 2.3."""
    return 2 * float(np.sqrt(nights / 2 * np.log(n))) + float(np.sqrt(np.log(n) / 8))


def coverages(n_logs: int, seed: int) -> dict[str, float]:
    """Return how often the interval of each estimator covers the truth."""
    world, covered = logged_arms.World(), dict.fromkeys(extensions.names("estimators"), 0)
    for log in world.logs(n_logs, seed):
        for name in covered:
            found = estimate(name, log)
            covered[name] += found.low <= world.truth <= found.high
    return {name: count / n_logs for name, count in covered.items()}


def rising_steps(strengths: tuple[float, ...], seed: int) -> float:
    """Return the share of steps to a larger strength at which the mean worth of the listed items does not fall."""
    worth = [mean_worth(strength, seed) for strength in strengths]
    return float(np.mean(np.diff(worth) >= 0))


def mean_worth(strength: float, seed: int, n_users: int = 400, n_rows: int = 100, k: int = 20) -> float:
    """Return the mean worth of the first k items of random lists with a boost of that strength."""
    rng = np.random.default_rng(seed)
    items = np.concatenate([np.sort(rng.choice(2_000, n_rows, replace=False)) for _ in range(n_users)]).astype(np.int32)
    starts = (np.arange(n_users + 1) * n_rows).astype(np.int64)
    users = np.arange(n_users, dtype=np.int32)
    candidates = CandidateSet(users, starts, items, np.ones(n_users, dtype=np.int32), {})
    z = rng.normal(size=2_000).astype(np.float32)
    scores = boosted(rng.normal(size=len(items)).astype(np.float32), candidates, Boost(strength, z))
    rows, _ = best_first(scores, items, starts, k)
    return float(z[items[rows]].astype(np.float64).mean())


if __name__ == "__main__":
    for claim in claims():
        print(claim.text())

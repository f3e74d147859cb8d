"""Logs of arms drawn with known probabilities, for which the truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hybridrec.estimators import Logged


@dataclass(frozen=True)
class World:
    """Three arms, two segments: chances of a reward, probabilities that were logged and those of the policy to be judged."""

    chances: tuple[tuple[float, ...], ...] = ((0.10, 0.15, 0.30), (0.25, 0.20, 0.05))
    logged: tuple[tuple[float, ...], ...] = ((0.70, 0.20, 0.10), (0.10, 0.20, 0.70))
    wanted: tuple[tuple[float, ...], ...] = ((0.05, 0.15, 0.80), (0.60, 0.35, 0.05))
    n_rows: int = 3_000

    @property
    def truth(self) -> float:
        """The policy's mean reward; half of the users are of each segment."""
        return float((np.array(self.chances) * np.array(self.wanted)).sum(axis=1).mean())

    def logs(self, n_logs: int, seed: int) -> Iterator[Logged]:
        """Yield logs with a model that is a little wrong: it takes every arm for 0.03 better than it is."""
        rng = np.random.default_rng(seed)
        chances, logged, wanted = map(np.array, (self.chances, self.logged, self.wanted))
        model = chances + 0.03
        for _ in range(n_logs):
            segments = rng.integers(0, 2, self.n_rows)
            arms = (rng.random(self.n_rows)[:, None] > np.cumsum(logged, axis=1)[segments][:, :-1]).sum(axis=1)
            rewards = (rng.random(self.n_rows) < chances[segments, arms]).astype(np.float64)
            weights = wanted[segments, arms] / logged[segments, arms]
            expected = (wanted * model).sum(axis=1)[segments]
            yield Logged(rewards, weights, None, model[segments, arms], expected)

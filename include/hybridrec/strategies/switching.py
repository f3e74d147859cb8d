"""Another blend for each length of history: who has none gets what is popular, who has much gets the collaborative.

Hard steps as in Burke 2002, Hybrid recommender systems: survey and experiments. With `interpolate` a user between the
middles of two branches gets a mix of both, linear in the length of the history, so one more event changes little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.groups import Floats, zscore
from hybridrec.candidates.pool import Pool
from hybridrec.strategies.weighted import blend, named_sources

DOC = "By history length: none popularity, below 5 content, 5 to 20 all sources, above 20 collaborative."


@dataclass(frozen=True)
class Config:
    """Options.

    few_items: shorter histories are served by content models.
    many_items: longer histories are served by collaborative models.
    popular: the popularity models, separated by commas.
    content: the content models, separated by commas; all others are collaborative.
    interpolate: mix neighbouring branches instead of hard steps.
    """

    few_items: int = 5
    many_items: int = 20
    popular: str = "popularity,recent_popularity"
    content: str = "content_attributes,content_text"
    interpolate: bool = False


class Strategy:
    """See the module; a kind without a source in the pool hands over to all sources."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def score(self, pool: Pool) -> Floats:
        """Each row by the blend of its user's branch, float32 (n_rows,)."""
        length = np.repeat(pool.n_history, np.diff(pool.starts))
        popular, content = named_sources(self.config.popular, pool), named_sources(self.config.content, pool)
        collaborative = tuple(source for source in pool.sources if source not in popular + content)
        branches = [_blend(pool, sources) for sources in (popular, content, (), collaborative)]
        return self._between(branches, length, pool) if self.config.interpolate else self._step(branches, length)

    def _step(self, branches: list[Floats], length: NDArray[np.int32]) -> Floats:
        few, many = self.config.few_items, self.config.many_items
        popular, content, every, collaborative = branches
        # the first condition that holds is taken
        return np.select([length == 0, length < few, length <= many], [popular, content, every], default=collaborative).astype(np.float32)

    def _between(self, branches: list[Floats], length: NDArray[np.int32], pool: Pool) -> Floats:
        few, many = self.config.few_items, self.config.many_items
        middles = [0.0, few / 2, (few + many) / 2, float(many)]
        total = np.zeros(len(length))
        for branch, alone in zip(branches, np.eye(len(branches)), strict=True):
            # of equal spread, or a branch of one source would outshout a mean of many
            total += np.interp(length, middles, alone) * zscore(branch, pool.starts)
        return total.astype(np.float32)


def _blend(pool: Pool, sources: tuple[str, ...]) -> Floats:
    return blend(pool, dict.fromkeys(sources or pool.sources, 1.0))

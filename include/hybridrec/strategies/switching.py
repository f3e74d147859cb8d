"""Another blend for each length of history: who has none gets what is popular, who has much gets the collaborative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.ranking.groups import Floats
from hybridrec.ranking.pool import Pool
from hybridrec.strategies.weighted import blend

DOC = "By history length: none popularity, below 5 content, 5 to 20 all sources, above 20 collaborative."


@dataclass(frozen=True)
class Config:
    """Options.

    few_items: shorter histories are served by content. many_items: longer ones by the collaborative sources.
    popular, content: the sources of that kind, by commas; all others are collaborative.
    """

    few_items: int = 5
    many_items: int = 20
    popular: str = "popularity,recent_popularity"
    content: str = "content"


class Strategy:
    """See the module; a kind without a source in the pool hands over to all sources."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def score(self, pool: Pool) -> Floats:
        """Each row by the blend of its user's branch, float32 (n_rows,)."""
        length = np.repeat(pool.n_history, np.diff(pool.starts))
        few, many = self.config.few_items, self.config.many_items
        branches = [length == 0, length < few, length <= many]  # the first that holds is taken
        popular, content = _named(self.config.popular, pool), _named(self.config.content, pool)
        collaborative = tuple(source for source in pool.sources if source not in popular + content)
        choices = [_blend(pool, popular), _blend(pool, content), _blend(pool, ())]
        return np.select(branches, choices, default=_blend(pool, collaborative)).astype(np.float32)


def _named(names: str, pool: Pool) -> tuple[str, ...]:
    wanted = {name.strip() for name in names.split(",")}
    return tuple(source for source in pool.sources if source in wanted)


def _blend(pool: Pool, sources: tuple[str, ...]) -> Floats:
    return blend(pool, dict.fromkeys(sources or pool.sources, 1.0))

"""Another blend for each length of history: who has none gets what is popular, who has much gets the collaborative.

Hard steps as in Burke 2002, Hybrid recommender systems: survey and experiments. With `interpolate` a user between the
middles of two branches gets a mix of both, linear in the length of the history, so one more event changes little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, zscore
from hybridrec.strategies.weighted import blend, named_retrievers

DOC = "By history length: none popularity, below 5 content, 5 to 20 all retrievers, above 20 collaborative."


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
    """See the module; a kind without a retriever in the candidates hands over to all retrievers."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def score(self, candidates: CandidateSet) -> Floats:
        """Return each row by the blend of its user's branch, float32 (n_rows,)."""
        length = np.repeat(candidates.n_history, np.diff(candidates.starts))
        popular, content = named_retrievers(self.config.popular, candidates), named_retrievers(self.config.content, candidates)
        collaborative = tuple(retriever for retriever in candidates.retrievers if retriever not in popular + content)
        branches = [_blend(candidates, retrievers) for retrievers in (popular, content, (), collaborative)]
        return self._between(branches, length, candidates) if self.config.interpolate else self._step(branches, length)

    def _step(self, branches: list[Floats], length: NDArray[np.int32]) -> Floats:
        few, many = self.config.few_items, self.config.many_items
        popular, content, every, collaborative = branches
        # the first condition that holds is taken
        return np.select([length == 0, length < few, length <= many], [popular, content, every], default=collaborative).astype(np.float32)

    def _between(self, branches: list[Floats], length: NDArray[np.int32], candidates: CandidateSet) -> Floats:
        few, many = self.config.few_items, self.config.many_items
        middles = [0.0, few / 2, (few + many) / 2, float(many)]
        total = np.zeros(len(length))
        for branch, alone in zip(branches, np.eye(len(branches)), strict=True):
            # of equal spread, or a branch of one retriever would outshout a mean of many
            total += np.interp(length, middles, alone) * zscore(branch, candidates.starts)
        return total.astype(np.float32)


def _blend(candidates: CandidateSet, retrievers: tuple[str, ...]) -> Floats:
    return blend(candidates, dict.fromkeys(retrievers or candidates.retrievers, 1.0))

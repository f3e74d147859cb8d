"""Arms: the named blends of [bandit.arms], and the list that each makes of a user's candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from hybridrec.base.config import Config
from hybridrec.base.trying import weights_of
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.strategies.weighted import blend

ScoreList = Callable[[str, CandidateSet], Floats]  # a strategy's scores by its name
BETWEEN = ":"  # the published arm names the segment for which it was drawn: a user's own may be another one when the click comes


class Arm(NamedTuple):
    """A named blend: weights by retriever, or a strategy's name."""

    name: str
    weights: tuple[tuple[str, float], ...] = ()
    strategy: str = ""

    @property
    def list_name(self) -> str:
        """Name of the list that it makes."""
        return self.strategy or self.name

    def scores(self, candidates: CandidateSet, score_list: ScoreList) -> Floats:
        """Return float32 (n_rows,), higher is better; a retriever that the candidates lack takes no part."""
        if self.strategy:
            return score_list(self.strategy, candidates)
        return blend(candidates, {name: weight for name, weight in self.weights if name in candidates.retrievers})


def arms_of(config: Config) -> tuple[Arm, ...]:
    """Return the arms of the night's options, by name; none without a bandit."""
    arms = []
    for name, text in sorted(config.bandit.arms.items()):
        weights = weights_of(text, f"[bandit.arms] {name}")
        arms.append(Arm(name, tuple(sorted(weights.items())), "" if weights else text))
    return tuple(arms)


def playable(arms: tuple[Arm, ...], retrievers: Collection[str], strategies: Collection[str]) -> tuple[Arm, ...]:
    """Return the arms that this night can make: those with a retriever that it has, or with a strategy that is ready."""
    return tuple(arm for arm in arms if arm.strategy in strategies or any(name in retrievers for name, _ in arm.weights))


def published_name(segment: str, arm: str) -> str:
    """Return an arm as published rows and logs have it, as `light:content`."""
    return f"{segment}{BETWEEN}{arm}"


def published_names(arms: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Return the position in SEGMENTS and in `arms` of each published name."""
    return {published_name(segment, arm): (row, column) for row, segment in enumerate(SEGMENTS) for column, arm in enumerate(arms)}

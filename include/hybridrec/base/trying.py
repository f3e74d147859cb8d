"""Groups of hybridrec.toml for what a night tries out: arms of a bandit, places for exploration, an objective beside relevance.

All are off by default: without arms, positions or an objective's name, lists are what they would be without these groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError, choices

ARM = re.compile(r"[a-z][a-z0-9_]{0,39}")
MIN_ARMS, MAX_ARMS = 3, 6  # with two an experiment says more; with more than six no arm gets enough users
MAX_SLOTS = 5


@dataclass(frozen=True)
class Bandit:
    """Options of the arms that some users are served by.

    name: file of `bandits/` that decides how often each arm is played.
    arms: named blends, 3 to 6: weights of retrievers as "als=2,ease=1", or the name of a strategy; none: no bandit.
    share: share of the users in the bandit's layer who are served by an arm; the layers of experiments and of plain lists are never.
    floor: smallest probability of an arm.
    window_hours: what was served in the last hours before as_of is not counted yet, nor in attribution_days: clicks may still come.
    half_life_days: age in days at which a draw counts half; 0: all count alike.
    salt: part of the hash that draws; another one draws other users and arms.
    """

    name: str = "thompson"
    arms: dict[str, str] = field(default_factory=dict)
    share: float = 1.0
    floor: float = 0.05
    window_hours: float = 24.0
    half_life_days: float = 0.0
    salt: str = "bandit"


@dataclass(frozen=True)
class Exploration:
    """Options of places that hold an item drawn by chance.

    positions: places of the night's own list, 1 is the first; none: no exploration.
    salt: part of the hash that draws.
    """

    positions: list[int] = field(default_factory=list)
    salt: str = "exploration"


@dataclass(frozen=True)
class Objective:
    """Options of an objective beside relevance.

    name: file of `objectives/`; empty: relevance alone.
    max_loss: NDCG that it may cost, at the lower end of the interval.
    strengths: what is tried; the largest that costs no more is used, 0 if none does.
    """

    name: str = ""
    max_loss: float = 0.002
    strengths: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.4, 0.8])


def require_bandit(bandit: Bandit, where: str) -> None:
    """Raise PermanentError for arms that could not be played, or whose probabilities would be no support."""
    _require_extension("bandits", bandit.name, where)
    if not bandit.arms:
        return
    if not MIN_ARMS <= len(bandit.arms) <= MAX_ARMS:
        raise PermanentError(f"{where}: {len(bandit.arms)} arms, expected {MIN_ARMS} to {MAX_ARMS} named blends below [bandit.arms]")
    if not 0 < bandit.share <= 1:
        raise PermanentError(f"{where}: share is {bandit.share:g}, expected above 0 and at most 1; to stop the bandit remove its arms")
    if not 0 < bandit.floor <= 1 / len(bandit.arms):
        raise PermanentError(
            f"{where}: floor is {bandit.floor:g}, expected above 0 and at most {1 / len(bandit.arms):.3g}, 1 / number of arms"
        )
    if bandit.window_hours < 0 or bandit.half_life_days < 0:
        raise PermanentError(f"{where}: window_hours and half_life_days are numbers from 0 on")
    for name, blend in bandit.arms.items():
        if not ARM.fullmatch(name):
            raise PermanentError(f"{where}: arm {name!r}: an arm's name has lower-case letters, digits and '_', at most 40")
        _require_blend(blend, f"{where}.arms {name}")


def weights_of(blend: object, where: str) -> dict[str, float]:
    """Return the weights of retrievers of an arm written as "als=2,ease=1"; none if it names a strategy. PermanentError for other texts."""
    if not isinstance(blend, str) or not blend.strip():
        raise PermanentError(f'{where}: it is {blend!r}, expected weights of retrievers as "als=2,ease=1", or the name of a strategy')
    if "=" not in blend:
        return {}
    weights: dict[str, float] = {}
    for part in blend.split(","):
        name, _, text = part.partition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = -1.0
        if not 0 < weight < float("inf") or name.strip() in weights:
            raise PermanentError(f"{where}: {part.strip()!r}, expected each retriever once, with a weight above 0, as als=2")
        weights[name.strip()] = weight
    return weights


def require_exploration(exploration: Exploration, where: str) -> None:
    """Raise PermanentError for places that no list has."""
    positions = exploration.positions
    if not all(type(one) is int and one >= 1 for one in positions) or len(set(positions)) < len(positions) or len(positions) > MAX_SLOTS:
        raise PermanentError(f"{where}: positions is {positions}, expected at most {MAX_SLOTS} different places from 1 on, as [5, 10]")


def require_objective(objective: Objective, where: str) -> None:
    """Raise PermanentError for an unknown objective, or numbers that mean nothing."""
    if objective.name:
        _require_extension("objectives", objective.name, where)
    if not 0 <= objective.max_loss < 1:
        raise PermanentError(f"{where}: max_loss is {objective.max_loss:g}, expected an NDCG from 0 to below 1")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and one > 0 for one in objective.strengths):
        raise PermanentError(f"{where}: strengths is {objective.strengths}, expected numbers above 0")


def _require_blend(blend: str, where: str) -> None:
    weights = weights_of(blend, where)
    known = extensions.names("models")
    for name in weights:
        if name not in known:
            raise PermanentError(f"{where}: there is no retriever {name!r}; {choices(name, known)}")
    if not weights and blend not in (strategies := extensions.names("strategies")):
        raise PermanentError(f"{where}: there is no strategy {blend!r}; {choices(blend, strategies)}")


def _require_extension(folder: str, name: str, where: str) -> None:
    if name not in (known := extensions.names(folder)):
        raise PermanentError(f"{where}: there is no {name!r} in {folder}/; {choices(name, known)}")

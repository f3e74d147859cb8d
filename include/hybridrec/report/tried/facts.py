"""Figures of arms, estimates and objective, as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArmFigures:
    """An arm in a segment: its probability, and the outcomes behind it. n_users: users of this run who have drawn it."""

    segment: str
    arm: str
    blend: str
    probability: float
    successes: float
    trials: float
    n_users: int


@dataclass(frozen=True)
class PolicyEstimate:
    """A row of out_ope."""

    policy: str
    segment: str
    outcome: str
    estimator: str
    value: float | None
    low: float | None
    high: float | None
    effective: float
    n_rows: int
    refused: str


@dataclass(frozen=True)
class BanditFacts:
    """A night's bandit. newest: when the last draw that counts was served, empty without any; newest_age_days: before as_of."""

    name: str
    share: float
    n_draws: int
    newest: str
    newest_age_days: float
    arms: tuple[ArmFigures, ...]
    estimates: tuple[PolicyEstimate, ...]


@dataclass(frozen=True)
class StrengthFigures:
    """A strength that was tried, what it costs, and the mean worth of a list's items in standard deviations."""

    strength: float
    difference: float
    low: float
    high: float
    worth: float


@dataclass(frozen=True)
class ObjectiveFacts:
    """A night's objective beside relevance, and the strength chosen for it."""

    name: str
    metric: str
    max_loss: float
    strength: float
    tried: tuple[StrengthFigures, ...]

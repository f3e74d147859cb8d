"""Facts about experiments, a part of the report's data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hybridrec.assignment.variants import Phase
from hybridrec.experiments.standing import frozen_definition
from hybridrec.versions.experiment_states import ExperimentState

GOOD, BAD = ("better", "kept"), ("worse", "hurt", "broken")


@dataclass(frozen=True)
class ExperimentResult:
    """A row of out_experiments; a figure is None while too few users have feedback."""

    experiment: str
    variant: str
    outcome: str
    role: str
    phase: str
    look: int
    fraction: float | None
    n_control: int
    n_variant: int
    control: float | None
    treatment: float | None
    estimate: float | None
    low: float | None
    high: float | None
    z: float | None
    bound: float | None
    with_cuped: bool
    sample_ratio_p: float | None
    verdict: str
    sentence: str

    @property
    def style(self) -> str:
        """Class of the verdict on the page."""
        return "good" if self.verdict in GOOD else "bad" if self.verdict in BAD else "kind"


@dataclass(frozen=True)
class ExperimentStanding:
    """An experiment in the state that the run has found. since: UTC, as text. variants: each with its share of the experiment's users."""

    experiment: str
    state: str
    since: str
    variants: dict[str, float]
    hypothesis: str


def standing_of(state: ExperimentState) -> ExperimentStanding:
    """Return the facts of a state."""
    definition = frozen_definition(state)
    if state.state == "decided":
        variants = {state.winner: 1.0}
    else:
        phase: Phase = "canary" if state.state == "canary" else "running"
        variants = {variant.name: variant.share for variant in definition.running(state.experiment, phase).variants}
    return ExperimentStanding(state.experiment, state.state, f"{state.since:%Y-%m-%d %H:%M}", variants, definition.hypothesis)


def result_of(row: dict[str, Any]) -> ExperimentResult:
    """Return the facts of a row of out_experiments."""
    return ExperimentResult(**{field.name: row[field.name] for field in fields(ExperimentResult)})

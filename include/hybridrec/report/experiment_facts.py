"""Facts about experiments, a part of the report's data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

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


def result_of(row: dict[str, Any]) -> ExperimentResult:
    """Return the facts of a row of out_experiments."""
    return ExperimentResult(**{field.name: row[field.name] for field in fields(ExperimentResult)})

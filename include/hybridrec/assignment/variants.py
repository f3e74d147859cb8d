"""Variants: named sets of options that some users' lists are made with, so that a night can be compared with itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CONTROL = "control"  # the variant with the night's own list
PLAIN_SURFACE = "(plain)"  # the night's own list of users who have a variant's; no surface of hybridrec.toml can have the name
Phase = Literal["canary", "running", "decided"]  # decided: its one variant is for everybody


@dataclass(frozen=True)
class Variant:
    """One arm of an experiment: its share of the experiment's users, and the options that differ from the night's.

    strategy: ranks the night's candidates instead of the published policy; empty for that policy. k: length of a list; 0 for the night's.
    without_rules, rules: as of a surface.
    """

    name: str
    share: float
    strategy: str = ""
    k: int = 0
    without_rules: tuple[str, ...] = ()
    rules: dict[str, dict[str, bool | int | float | str]] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether its lists are not the night's own."""
        return bool(self.strategy or self.k or self.without_rules or self.rules)


@dataclass(frozen=True)
class RunningExperiment:
    """An experiment as a run has found it. part: its part of the layer of experiments, from and to, 0 to 1. shares are those in effect."""

    name: str
    salt: str
    phase: Phase
    part: tuple[float, float]
    variants: tuple[Variant, ...]

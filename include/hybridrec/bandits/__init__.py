"""Bandits: how often each arm is played, from what came of it so far; one file each, found by file name.

An arm is a named blend of a user's candidates, not an item: a catalogue has more items than a night has users. An extension has `DOC`
(one line), a frozen `Config` with its options, and

    def probabilities(counts: Counts, config: Config) -> Doubles

Equal counts give equal probabilities: nothing is drawn here. Everything else is the same for all: no arm is played less often than the
floor, so that every reward can be weighed, and a user's arm follows from a hash (hybridrec.exploration.draws).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.config import Config, with_options
from hybridrec.types import Doubles

FOLDER = "bandits"


class Counts(NamedTuple):
    """Outcomes of each arm, float64 (..., n_arms): draws with a reward, and all draws; 0 for an arm without any."""

    successes: Doubles
    trials: Doubles


def arm_probabilities(name: str, counts: Counts, config: Config) -> Doubles:
    """Return the probability of each arm, (..., n_arms), none below the night's floor; PermanentError for an unknown bandit or option."""
    module = extensions.module(FOLDER, name)
    options = with_options(module.Config(), config.options(FOLDER, name), f"[{FOLDER}.{name}]")
    return with_floor(cast(Doubles, module.probabilities(counts, options)), config.bandit.floor)


def with_floor(probabilities: Doubles, floor: float) -> Doubles:
    """Return probabilities of at least `floor` each: a share is spread evenly, the rest goes by the given ones."""
    return np.asarray(floor + (1 - floor * probabilities.shape[-1]) * probabilities, dtype=np.float64)

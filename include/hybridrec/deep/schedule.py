"""The options that every training has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns.

    examples_per_epoch: at most so many, drawn anew each time, so an epoch's cost does not grow with the data.
    learning_rate: of the first epoch; it falls to 0 in equal steps. patience: epochs without progress on the held-out
    pairs before training stops. validation_users: how many have a pair held out, at most.
    """

    batch_size: int = 2048
    examples_per_epoch: int = 25_000
    learning_rate: float = 0.03
    weight_decay: float = 0.1
    max_epochs: int = 6
    patience: int = 2
    validation_users: int = 1000

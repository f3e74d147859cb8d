"""The options that every training has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Length and speed of a network's training.

    batch_size: examples per step.
    examples_per_epoch: at most this number, drawn again for each epoch, so the cost of an epoch does not grow with the data.
    learning_rate: of the first epoch; it falls to 0 in equal steps.
    weight_decay: strength of the pull of all weights towards 0.
    max_epochs: most passes over the examples.
    patience: epochs without progress on the held-out pairs before training stops.
    validation_users: most users with a held-out pair.
    """

    batch_size: int = 2048
    examples_per_epoch: int = 25_000
    learning_rate: float = 0.03
    weight_decay: float = 0.1
    max_epochs: int = 6
    patience: int = 2
    validation_users: int = 1000

"""Assignment: a hash of the user says the layer, the experiment's part of it, and the arm. Nothing is stored, and a rerun gives the same.

Two hashes are taken. The first, with a salt of the installation's own, puts a user into one of the LAYERS and says where in it, so that
two experiments never share a user. The second, with the experiment's salt, puts the user into an arm. Each arm begins at a fixed bucket
and grows from there, so a larger share adds users and moves none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.variants import RunningExperiment

BUCKETS = 100_000
Layer = Literal["experiments", "bandit", "plain"]
LAYERS: dict[Layer, tuple[int, int]] = {"experiments": (0, 60_000), "bandit": (60_000, 90_000), "plain": (90_000, BUCKETS)}
LAYER_SALT = "layers"
# Two arms of 1 % of all users each, who get the night's list like all of the layer `plain`: an alarm on the experiments themselves.
AA, AA_ARMS, AA_BUCKETS = "aa", ("a", "b"), (90_000, 92_000)
NOBODY = -1  # the arm of a user who takes no part


def buckets(salt: str, user_ids: Iterable[str]) -> NDArray[np.int32]:
    """Return each user's bucket, 0 to BUCKETS - 1: of SHA-256 over salt and user."""
    prefix = sha256(f"{len(salt)}:{salt}:".encode())
    starts = bytearray()
    for user_id in user_ids:
        hashed = prefix.copy()
        hashed.update(user_id.encode())
        starts += hashed.digest()[:8]
    return (np.frombuffer(starts, dtype="<u8") % BUCKETS).astype(np.int32)


def in_layer(layer: Layer, user_ids: Iterable[str]) -> NDArray[np.bool_]:
    """Return whether each user is in the layer."""
    first, end = LAYERS[layer]
    at = buckets(LAYER_SALT, user_ids)
    return (at >= first) & (at < end)


def arms_of(experiment: RunningExperiment, user_ids: Sequence[str]) -> NDArray[np.int8]:
    """Return the number of each user's variant, NOBODY for users outside of the experiment."""
    if experiment.phase == "decided":
        return np.zeros(len(user_ids), dtype=np.int8)
    arms = np.full(len(user_ids), NOBODY, dtype=np.int8)
    first, end = LAYERS["experiments"]
    low, high = (first + round(part * (end - first)) for part in experiment.part)
    placed = buckets(LAYER_SALT, user_ids)
    inside = np.flatnonzero((placed >= low) & (placed < high))
    at = buckets(experiment.salt, (user_ids[index] for index in inside.tolist()))
    room = BUCKETS // len(experiment.variants)
    for number, variant in enumerate(experiment.variants):
        width = round(variant.share * BUCKETS)
        arms[inside[(at >= number * room) & (at < number * room + min(width, room))]] = number
    return arms


def aa_arms(user_ids: Sequence[str]) -> NDArray[np.int8]:
    """Return the arm of each user in the permanent A/A experiment, 0 or 1, NOBODY for all others."""
    placed = buckets(LAYER_SALT, user_ids)
    arms = np.full(len(user_ids), NOBODY, dtype=np.int8)
    inside = np.flatnonzero((placed >= AA_BUCKETS[0]) & (placed < AA_BUCKETS[1]))
    arms[inside] = buckets(AA, (user_ids[index] for index in inside.tolist())) % 2
    return arms

"""Draw the arm of each user of a run: probabilities by segment, and a hash of salt, as_of and user.

The draws of a run are an artefact, so all workers of all tasks see the same. A rerun draws the same, and so does another run
with the same as_of: equal inputs give equal lists.

    bandit/bandit.json             arms, probabilities by segment, and what they rest on
    bandit/arms.npy                int8 (n_users,), position of the user's arm, -1 for users who are not served by an arm
    bandit/segments.npy            int8 (n_users,), position in SEGMENTS of the segment that it was drawn for
    bandit/probabilities.npy       float32 (n_users,), 0 for those
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.buckets import in_layer
from hybridrec.bandits import arm_probabilities
from hybridrec.base.errors import PermanentError
from hybridrec.exploration.arms import Arm, arms_of, playable
from hybridrec.exploration.chance import uniforms
from hybridrec.exploration.outcomes import night_outcomes
from hybridrec.exploration.posterior import Posterior, require_updated, updated
from hybridrec.splitting.mix import SEGMENTS, segments_of
from hybridrec.storage import shared_files, store
from hybridrec.types import Doubles, Floats, Longs

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)
ARTEFACT, STATE = "bandit", "bandit.json"
NO_ARM = -1
Arms = NDArray[np.int8]


@dataclass(frozen=True)
class Draws:
    """The arms of a run's users, by user_idx; see the module. distribution: (n_segments, n_arms)."""

    arms: tuple[Arm, ...]
    distribution: Doubles
    of_user: Arms
    segments: Arms
    probabilities: Floats


def write_draws(run: Run, retrievers: Collection[str], strategies: Collection[str], taken: NDArray[np.bool_] | None = None) -> None:
    """Count the outcomes of earlier draws and draw for this run, if the run has arms.

    retrievers, strategies: that the night has. taken: bool (n_users,), users whom an experiment's variant ranks; None: there are none.
    """
    if not run.config.bandit.arms:
        return
    arms = playable(arms_of(run.config), retrievers, strategies)
    if not arms:
        raise PermanentError("bandit: the night has the models of none of its arms; see the tasks train_model, or correct [bandit.arms]")
    outcomes = night_outcomes(run)
    posterior = updated(outcomes, tuple(arm.name for arm in arms), run.manifest.as_of, run.config.bandit.half_life_days)
    require_updated(posterior, outcomes)
    distribution = arm_probabilities(run.config.bandit.name, posterior.counts, run.config)
    segments = user_segments(run, store.read_manifest(run.dataset("model_users")).rows)
    of_user, probabilities = draw(run, segments, distribution, taken)
    with run.staged(ARTEFACT) as folder:
        np.save(folder / "arms.npy", of_user, allow_pickle=False)
        np.save(folder / "segments.npy", segments.astype(np.int8), allow_pickle=False)
        np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
        store.write_json(folder / STATE, _state(arms, distribution, posterior))
    n_drawn = int((of_user != NO_ARM).sum())
    log.info("bandit: %d arms for %d of %d users, after %d draws", len(arms), n_drawn, len(of_user), posterior.n_draws)


def draw(run: Run, segments: Longs, distribution: Doubles, taken: NDArray[np.bool_] | None = None) -> tuple[Arms, Floats]:
    """Return the arm of each of the run's users and its probability; NO_ARM and 0 for those that no arm serves."""
    import pyarrow.dataset as ds

    bandit, n_users = run.config.bandit, len(segments)
    of_user, probabilities = np.full(n_users, NO_ARM, dtype=np.int8), np.zeros(n_users, dtype=np.float32)
    users = ds.dataset(run.files("model_users"), format="parquet", partitioning=None)
    for batch in users.to_batches(columns=["user_idx", "user_id"]):  # a million ids at a time are some hundred MB
        at, ids = batch["user_idx"].to_numpy(), batch["user_id"].to_numpy(zero_copy_only=False)
        chosen = in_layer("bandit", ids) & (uniforms(ids, bandit.salt) < bandit.share)  # the same users every night
        chosen &= True if taken is None else ~taken[at]
        served = drawn(uniforms(ids, bandit.salt, run.manifest.as_of.isoformat()), segments[at], distribution)
        of_user[at[chosen]], probabilities[at[chosen]] = served[0][chosen], served[1][chosen]
    return of_user, probabilities


def drawn(chances: Doubles, segments: Longs, distribution: Doubles) -> tuple[Arms, Floats]:
    """Return arms and their probabilities. chances: a number from 0 to below 1 for each user; segments: position in SEGMENTS."""
    edges = np.cumsum(distribution, axis=1)[:, :-1]
    of_user = (chances[:, None] >= edges[segments]).sum(axis=1)
    return of_user.astype(np.int8), distribution[segments, of_user].astype(np.float32)


def user_segments(run: Run, n_users: int) -> Longs:
    """Return the position in SEGMENTS of each user's segment in this run."""
    features = run.read("model_user_features", "full", ["user_idx", "user_n_items"])
    lengths = np.zeros(n_users, dtype=np.int32)
    lengths[features["user_idx"].to_numpy()] = features["user_n_items"].to_numpy()
    names = segments_of(lengths, run.config.light_max_items)
    return np.asarray(np.select([names == name for name in SEGMENTS], list(range(len(SEGMENTS)))), dtype=np.int64)


def load_draws(run: Run) -> Draws | None:
    """Return the draws of a run on whichever machine; None if it has none."""
    folder = draws_folder(run)
    return read_draws(folder) if folder else None


def draws_folder(run: Run) -> Path | None:
    """Return the folder of the run's draws; None if it has none."""
    return run.artefact(ARTEFACT) if store.is_committed(run.dataset(ARTEFACT)) else None


def read_draws(folder: Path) -> Draws:
    """Return the draws in a folder; arrays are mapped, not read."""
    shared_files.fetch_folder(folder)
    state = read_state(folder)
    of_user, segments, probabilities = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("arms", "segments", "probabilities")
    )
    arms = tuple(Arm(raw["name"], tuple((name, weight) for name, weight in raw["weights"]), raw["strategy"]) for raw in state["arms"])
    distribution = np.array([[state["segments"][segment][arm.name]["probability"] for arm in arms] for segment in SEGMENTS])
    return Draws(arms, distribution, of_user, segments, probabilities)


def read_state(folder: Path) -> dict[str, Any]:
    """Return the content of bandit.json."""
    state: dict[str, Any] = json.loads(shared_files.read_text(folder / STATE))
    return state


def _state(arms: tuple[Arm, ...], distribution: Doubles, posterior: Posterior) -> dict[str, object]:
    segments = {
        segment: {
            arm.name: {
                "probability": float(distribution[row, column]),
                "successes": float(posterior.counts.successes[row, column]),
                "trials": float(posterior.counts.trials[row, column]),
            }
            for column, arm in enumerate(arms)
        }
        for row, segment in enumerate(SEGMENTS)
    }
    newest: datetime | None = posterior.newest
    return {
        "arms": [arm._asdict() for arm in arms],
        "segments": segments,
        "n_draws": posterior.n_draws,
        "newest": newest.isoformat() if newest else "",
    }

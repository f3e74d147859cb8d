"""An objective beside relevance: it lifts scores by what an item is worth to the shop, no more than is allowed to cost.

    score + strength * spread of the user's scores * z of the item

The spread is the standard deviation of a user's scores, so one strength means the same for every list; z is the item's worth in standard
deviations of the catalogue, 0 where nothing is known of it. The larger the strength, the higher the sum of z in every list, item by item:
the first k rows are those of the largest sum of score plus a multiple of z.

    boost/boost.json               objective, strength, what each strength costs
    boost/z.npy                    float32 (n_items,)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows, Starts, group_sums, spread
from hybridrec.policy.policy import Policy
from hybridrec.storage import shared_files, store
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

ARTEFACT, STATE, Z = "boost", "boost.json", "z.npy"


class Boost(NamedTuple):
    """The strength, and each item's worth, float32 (n_items,)."""

    strength: float
    z: Floats


class Boosted(Policy):
    """A policy whose scores are boosted; with a strength of 0 its scores are those of the policy, bit by bit."""

    def __init__(self, policy: Policy, boost: Boost) -> None:
        super().__init__(policy.choices, policy.ready, policy.light_max_items)
        self._policy, self._boost = policy, boost

    def list_names(self, candidates: CandidateSet) -> NDArray[np.str_]:
        """Return the name of each user's list, (n_users,)."""
        return self._policy.list_names(candidates)

    def score(self, candidates: CandidateSet) -> Floats:
        """Return float32 (n_rows,), higher is better; NaN: not in the user's list."""
        return boosted(self._policy.score(candidates), candidates, self._boost)

    def top_features(self, candidates: CandidateSet, rows: Rows) -> list[list[str]]:
        """List what moved each row's score most, the boost apart."""
        return self._policy.top_features(candidates, rows)


def boosted(scores: Floats, candidates: CandidateSet, boost: Boost) -> Floats:
    """Return the scores with the boost, float32 (n_rows,); NaN stays."""
    if boost.strength == 0:
        return scores
    lift = spread(spreads(scores, candidates.starts), candidates.starts) * boost.z[candidates.items]
    return (scores + boost.strength * lift).astype(np.float32)


def spreads(scores: Floats, starts: Starts) -> Doubles:
    """Return the standard deviation of each user's scores, float64 (n_users,); rows with NaN take no part."""
    present = ~np.isnan(scores)
    n = np.maximum(group_sums(present.astype(np.float64), starts), 1.0)
    filled = np.nan_to_num(scores.astype(np.float64))
    means = group_sums(filled, starts) / n
    squares = group_sums(np.where(present, filled - spread(means, starts), 0.0) ** 2, starts)
    return np.asarray(np.sqrt(squares / n), dtype=np.float64)


def write_boost(folder: Path, boost: Boost, figures: dict[str, object]) -> None:
    """Write a boost with what led to it."""
    np.save(folder / Z, boost.z, allow_pickle=False)
    store.write_json(folder / STATE, {"strength": boost.strength} | figures)


def boost_folder(run: Run) -> Path | None:
    """Return the folder of the run's boost; None if it has none, or one that changes nothing."""
    if not store.is_committed(run.dataset(ARTEFACT)):
        return None
    folder = run.artefact(ARTEFACT)
    return folder if read_boost(folder).strength else None


def read_boost(folder: Path) -> Boost:
    """Return the boost in a folder, on whichever machine."""
    shared_files.fetch_folder(folder)
    return Boost(float(json.loads((folder / STATE).read_text())["strength"]), np.load(folder / Z, allow_pickle=False))

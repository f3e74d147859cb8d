"""Assign the users of a run to variants: once, from the run's experiments; read by the workers that rank and make lists.

variants/groups.npy              int8 (n_users,), position of the user's group in `groups`, NOBODY without one
variants/strategy.<name>.npy     bool (n_users,), users whose variant is ranked by that strategy
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.buckets import NOBODY, arms_of
from hybridrec.assignment.variants import RunningExperiment, Variant
from hybridrec.storage import shared_files, store

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

ARTEFACT, GROUPS = "variants", "groups.npy"
BATCH_USERS = 100_000


class Group(NamedTuple):
    """Users with the same variant of the same experiment."""

    experiment: str
    variant: Variant


def groups(experiments: tuple[RunningExperiment, ...]) -> tuple[Group, ...]:
    """List the groups of a run; one that is decided comes last, and takes the users whom no other has."""
    in_order = sorted(experiments, key=lambda one: (one.phase == "decided", one.name))
    return tuple(Group(experiment.name, variant) for experiment in in_order for variant in experiment.variants)


def variant_strategies(experiments: tuple[RunningExperiment, ...]) -> tuple[str, ...]:
    """List the strategies that variants of a run are ranked by instead of the published policy."""
    return tuple(sorted({group.variant.strategy for group in groups(experiments)} - {""}))


def any_differs(experiments: tuple[RunningExperiment, ...]) -> bool:
    """Return whether any group has lists that are not the night's own."""
    return any(group.variant.differs for group in groups(experiments))


def write_groups(run: Run) -> Path | None:
    """Write the groups of all users as an artefact of the run and return its folder; None for a run without experiments."""
    if not run.manifest.experiments:
        return None
    of_users, known = _groups_of_users(run), groups(run.manifest.experiments)
    with run.staged(ARTEFACT) as folder:
        np.save(folder / GROUPS, of_users, allow_pickle=False)
        for name in variant_strategies(run.manifest.experiments):
            numbers = [number for number, group in enumerate(known) if group.variant.strategy == name]
            np.save(strategy_users(folder, name), np.isin(of_users, numbers), allow_pickle=False)
    return run.artefact(ARTEFACT)


def read_groups(folder: Path) -> NDArray[np.int8]:
    """Return each user's group, int8 (n_users,)."""
    shared_files.fetch_folder(folder)
    found: NDArray[np.int8] = np.load(folder / GROUPS, mmap_mode="r", allow_pickle=False)
    return found


def ranked_by_variant(run: Run, folder: Path) -> NDArray[np.bool_]:
    """Return whether a variant's strategy ranks each user instead of what ranks all others, bool (n_users,). folder: of write_groups."""
    known = groups(run.manifest.experiments)
    return np.isin(read_groups(folder), [number for number, group in enumerate(known) if group.variant.strategy])


def strategy_users(folder: Path, strategy: str) -> Path:
    """Return the file that says whom the strategy ranks."""
    return folder / f"strategy.{strategy}.npy"


def _groups_of_users(run: Run) -> NDArray[np.int8]:
    """Return each user's group; users are read and hashed a batch at a time."""
    import pyarrow.parquet as pq

    of_users = np.full(store.read_manifest(run.dataset("model_users")).rows, NOBODY, dtype=np.int8)
    ordered = sorted(run.manifest.experiments, key=lambda one: (one.phase == "decided", one.name))
    for path in run.files("model_users"):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_USERS, columns=["user_idx", "user_id"]):
                of_users[batch["user_idx"].to_numpy()] = _groups_of(ordered, batch["user_id"].to_pylist())
    return of_users


def _groups_of(ordered: list[RunningExperiment], user_ids: list[str]) -> NDArray[np.int8]:
    found, first = np.full(len(user_ids), NOBODY, dtype=np.int8), 0
    for experiment in ordered:
        arms = arms_of(experiment, user_ids)
        free = (found == NOBODY) & (arms != NOBODY)
        found[free] = first + arms[free]
        first += len(experiment.variants)
    return found

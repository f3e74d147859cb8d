"""Feedback on what users were shown, summed up per user and variant from `model_feedback`; memory holds a row a user who takes part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.buckets import NOBODY, aa_arms
from hybridrec.experiments.estimates import Covariate
from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

SUMS = ("shown", "clicked", "reward")
NEEDED = ("user_id", "served_at", "experiment", "variant", *SUMS)
COLUMNS = ("user_id", "arm", "first", "until", *SUMS)
BATCHES_TOGETHER = 16


@dataclass(frozen=True)
class Users:
    """Users of an experiment since a phase began: ids, number of their variant, and their sums, each (n_users,).

    first, until: times of the oldest and newest feedback that counts, None without any.
    n_moved: users with several variants, who are left out.
    """

    user_ids: pa.Array
    arms: NDArray[np.int64]
    sums: dict[str, NDArray[np.float64]]
    first: datetime | None
    until: datetime | None
    n_moved: int

    def of_arm(self, number: int) -> NDArray[np.bool_]:
        """Return whether each user is in the arm."""
        return self.arms == number


def feedback_files(run: Run) -> list[str]:
    """Return the files of model_feedback; none of a run without."""
    return run.files("model_feedback") if store.is_committed(run.dataset("model_feedback")) else []


def users_of(files: Sequence[str], experiment: str, variants: Sequence[str], since: datetime) -> Users:
    """Return the users of an experiment, from what was served since then."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def rows() -> Iterator[pa.Table]:
        for batch in _batches(files):
            kept = pc.and_(pc.equal(batch["experiment"], experiment), pc.greater_equal(batch["served_at"], since))
            part = pa.Table.from_batches([batch]).filter(kept)
            yield part.append_column("arm", pc.index_in(part["variant"], value_set=pa.array(variants)).cast(pa.int64()))

    return _summed(rows())


def users_of_aa(files: Sequence[str]) -> Users:
    """Return the users of the permanent A/A experiment: their arm is a hash, since their lists are those of everybody."""
    import pyarrow as pa

    def rows() -> Iterator[pa.Table]:
        for batch in _batches(files):
            arms = aa_arms(batch["user_id"].to_pylist())
            part = pa.Table.from_batches([batch]).append_column("arm", pa.array(arms.astype(np.int64)))
            yield part.filter(pa.array(arms != NOBODY)).filter(pa.compute.field("experiment").is_null())

    return _summed(rows())


def covariate_of(run: Run, users: Users, assigned_from: datetime) -> Covariate:
    """Return how many events each user had before the assignment; 0 for a new user."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    counts = np.zeros(len(users.user_ids))
    batches = ds.dataset(run.files("core_events")).to_batches(columns=["user_id"], filter=pc.field("event_at") < pa.scalar(assigned_from))
    for batch in batches:
        at = pc.index_in(batch["user_id"], value_set=users.user_ids).drop_null()
        counts += np.bincount(at.to_numpy(), minlength=len(counts))
    return Covariate(counts, assigned_from)


def _batches(files: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.dataset as ds

    if files:
        yield from ds.dataset(files).to_batches(columns=list(NEEDED))


def _summed(parts: Iterable[pa.Table]) -> Users:
    """Return sums by user; the rows of a few batches are summed at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole: pa.Table | None = None
    waiting: list[pa.Table] = []
    for part in parts:
        typed = {name: part[name].cast(pa.float64()).fill_null(0.0) for name in SUMS}
        known = pa.table({"user_id": part["user_id"], "arm": part["arm"], "first": part["served_at"], "until": part["served_at"], **typed})
        waiting.append(_by_user(known.filter(known["arm"].is_valid())))
        if len(waiting) == BATCHES_TOGETHER:
            whole, waiting = _by_user(pa.concat_tables([*([whole] if whole else []), *waiting])), []
    tables = [*([whole] if whole else []), *waiting]
    if not tables or not sum(table.num_rows for table in tables):
        empty: NDArray[np.float64] = np.zeros(0)
        return Users(pa.array([], pa.string()), np.zeros(0, np.int64), dict.fromkeys(SUMS, empty), None, None, 0)
    summed = _by_user(pa.concat_tables(tables)).sort_by([("user_id", "ascending"), ("arm", "ascending")])
    times = pc.value_counts(summed["user_id"].combine_chunks())
    moved = times.field("values").filter(pc.greater(times.field("counts"), 1))
    first, until = pc.min(summed["first"]).as_py(), pc.max(summed["until"]).as_py()
    once = summed.filter(pc.invert(pc.is_in(summed["user_id"], value_set=moved)))
    sums = {name: once[name].to_numpy() for name in SUMS}
    return Users(once["user_id"].combine_chunks(), once["arm"].to_numpy(), sums, first, until, len(moved))


def _by_user(rows: pa.Table) -> pa.Table:
    how = [("first", "min"), ("until", "max"), *((name, "sum") for name in SUMS)]
    made = rows.group_by(["user_id", "arm"], use_threads=False).aggregate(how)
    return made.select(["user_id", "arm", *(f"{name}_{way}" for name, way in how)]).rename_columns(list(COLUMNS))

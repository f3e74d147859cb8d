"""Feedback on what users were shown, summed up per user and variant from `model_feedback`; memory holds a row a user who takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.buckets import NOBODY, aa_arms, arms_of
from hybridrec.assignment.variants import RunningExperiment
from hybridrec.experiments.estimates import Covariate
from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

ROWS = ("shown", "clicked", "reward")  # sums over the positions of all lists
LISTS = ("lists", "reported")  # lists, and those of them whose impression the caller has reported
SUMS = (*ROWS, *LISTS)
COLUMNS = ("user_id", "arm", "first", "until", *SUMS)
NEEDED = ("user_id", "served_at", "experiment", "variant", "position", "shown_by", *ROWS)
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
        return np.asarray(self.arms == number)


def feedback_files(run: Run) -> list[str]:
    """Return the files of model_feedback; none of a run without."""
    return run.files("model_feedback") if store.is_committed(run.dataset("model_feedback")) else []


def users_of(files: Sequence[str], running: RunningExperiment, since: datetime, end: datetime | None = None) -> Users:
    """Return the users of an experiment, from what was served since then and before the end, if there is one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array([variant.name for variant in running.variants])

    def rows() -> Iterator[pa.Table]:
        for rows_since in _rows_of(files, running.name, since):
            part = rows_since if end is None else rows_since.filter(pc.less(rows_since["served_at"], end))
            yield part.append_column("arm", pc.index_in(part["variant"], value_set=names).cast(pa.int64()))

    return _summed(rows())


def users_of_aa(files: Sequence[str]) -> Users:
    """Return the users of the permanent A/A experiment: their arm is a hash, since their lists are those of everybody."""
    import pyarrow as pa

    def rows() -> Iterator[pa.Table]:
        for batch in _batches(files):
            arms = _by_user_id(batch["user_id"], aa_arms)
            part = pa.Table.from_batches([batch]).append_column("arm", pa.array(arms.astype(np.int64)))
            yield part.filter(pa.array((arms != NOBODY) & np.asarray(batch["experiment"].is_null())))

    return _summed(rows())


def first_served_to_others(files: Sequence[str], canary: RunningExperiment, since: datetime) -> datetime | None:
    """Return when a user whom the canary had left out was first served a variant; None if that has not happened.

    Only then the night's version with the larger shares is live: what was served before has the canary's shares.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[datetime] = []
    for part in _rows_of(files, canary.name, since):
        for chunk in part.select(["user_id", "served_at"]).to_batches():
            others = _by_user_id(chunk["user_id"], lambda user_ids: arms_of(canary, user_ids)) == NOBODY
            if others.any():
                found.append(pc.min(chunk["served_at"].filter(pa.array(others))).as_py())
    return min(found, default=None)


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


def _by_user_id(user_ids: pa.Array, arms: Callable[[list[str]], NDArray[np.int8]]) -> NDArray[np.int8]:
    """Return the arm of each row; a user is hashed once for many rows."""
    encoded = user_ids.dictionary_encode()
    return np.asarray(arms(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()], dtype=np.int8)


def _rows_of(files: Sequence[str], experiment: str, since: datetime) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in _batches(files):
        kept = pc.and_(pc.equal(batch["experiment"], experiment), pc.greater_equal(batch["served_at"], since))
        yield pa.Table.from_batches([batch]).filter(kept)


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
        waiting.append(_by_user(_figures(part)))
        if len(waiting) == BATCHES_TOGETHER:
            whole, waiting = _by_user(pa.concat_tables([*([whole] if whole else []), *waiting])), []
    tables = [*([whole] if whole else []), *waiting]
    if not sum(table.num_rows for table in tables):
        empty: NDArray[np.float64] = np.zeros(0)
        return Users(pa.array([], pa.string()), np.zeros(0, np.int64), dict.fromkeys(SUMS, empty), None, None, 0)
    summed = _by_user(pa.concat_tables(tables)).sort_by([("user_id", "ascending"), ("arm", "ascending")])
    times = pc.value_counts(summed["user_id"].combine_chunks())
    moved = times.field("values").filter(pc.greater(times.field("counts"), 1))
    first, until = pc.min(summed["first"]).as_py(), pc.max(summed["until"]).as_py()
    once = summed.filter(pc.invert(pc.is_in(summed["user_id"], value_set=moved)))
    sums = {name: once[name].to_numpy() for name in SUMS}
    return Users(once["user_id"].combine_chunks(), once["arm"].to_numpy(), sums, first, until, len(moved))


def _figures(rows: pa.Table) -> pa.Table:
    """Return what is summed of rows of model_feedback with a known arm and user."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows.filter(pc.and_(rows["arm"].is_valid(), pc.not_equal(rows["user_id"], "")))
    at_top = pc.equal(rows["position"], 1)
    reported = pc.and_(at_top, pc.fill_null(pc.equal(rows["shown_by"], "impression"), False))
    figures = {name: rows[name] for name in ROWS} | {"lists": at_top, "reported": reported}
    typed = {name: values.cast(pa.float64()).fill_null(0.0) for name, values in figures.items()}
    return pa.table({"user_id": rows["user_id"], "arm": rows["arm"], "first": rows["served_at"], "until": rows["served_at"], **typed})


def _by_user(rows: pa.Table) -> pa.Table:
    how = [("first", "min"), ("until", "max"), *((name, "sum") for name in SUMS)]
    made = rows.group_by(["user_id", "arm"], use_threads=False).aggregate(how)
    return made.select(["user_id", "arm", *(f"{name}_{way}" for name, way in how)]).rename_columns(list(COLUMNS))

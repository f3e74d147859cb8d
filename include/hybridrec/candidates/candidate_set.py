"""A candidate set: the candidates of some users with named feature columns, the same object in training and in scoring.

Features are of a point in time: they come from the tables of one split, which hold nothing past its cut. Jobs load
a whole split's candidates with `load_candidates`; inside Spark's mapInArrow the same `build_candidates` makes it from the rows of a
block of users.

    score_<model>, rank_<model>   as the retriever gave them, NaN where it gave none
    z_<model>                     the score in standard deviations from the user's mean
    factor_<model>_<n>            product of the user's and the item's n-th factor
    mean_z                        mean of the retrievers' z-scores, the equal-weight blend
    fused_rank                    sum over the retrievers of 1 / (60 + rank), reciprocal rank fusion
    best_rank                     the best rank that a retriever gave
    n_sources                     how many retrievers retrieved the pair
    user_*, item_*                features of the split; counts as log(1 + n); age and recency in days; shares of events
    gap_<habit>                   distance between the user's and the item's share of events with that habit
    affinity_category             share of the user's history that has the item's categories, averaged over them

Only if lists may hold items of the history:

    pair_*, user_repeat_share, user_gap_days, item_repeat_share, item_gap_days    see repeats.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.candidates import repeats
from hybridrec.candidates.groups import Floats, Starts, starts_of, zscore

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

Ints = NDArray[np.int32]
USER_COUNTS = ("user_n_items", "user_n_events")
HABITS = ("weekend", "evening", "mobile")
USER_VALUES = ("user_recency_days", "user_span_days", "user_mean_log_popularity", *(f"user_{habit}_share" for habit in HABITS))
ITEM_COUNTS = ("item_n_users", "item_n_events", "item_n_events_90d", "item_n_events_30d", "item_n_events_7d")
ITEM_VALUES = ("item_age_days", "item_recency_days", *(f"item_{habit}_share" for habit in HABITS))
ITEM_REPEATS = ("item_repeat_share", "item_gap_days")
HISTORY = ("user_idx", "item_idx", "weight")
FUSION = 60  # Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009


@dataclass(frozen=True)
class CandidateSet:
    """Candidates sorted by user, then item.

    users: int32 (n_users,), sorted; each has a row. starts: rows starts[u]:starts[u + 1] belong to users[u].
    items: int32 (n_rows,). n_history: int32 (n_users,), items in the user's history, 0 for none.
    features: float32 (n_rows,) by column name, NaN without a value.
    """

    users: Ints
    starts: Starts
    items: Ints
    n_history: Ints
    features: dict[str, Floats]

    @cached_property
    def row_users(self) -> Ints:
        """user_idx of each row, int32 (n_rows,)."""
        return np.repeat(self.users, np.diff(self.starts))

    @property
    def retrievers(self) -> tuple[str, ...]:
        """Names of the models that retrieved candidates, sorted."""
        return tuple(sorted(name.removeprefix("rank_") for name in self.features if name.startswith("rank_")))

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names of the models that retrieve nothing and only score what others retrieved, sorted."""
        models = {name.removeprefix("score_") for name in self.features if name.startswith("score_")}
        return tuple(sorted(models - set(self.retrievers)))

    def rows_of(self, users: Ints) -> CandidateSet:
        """Return the candidates of some of the users; users without candidates are skipped."""
        wanted = np.isin(self.users, users)
        return self.take(np.repeat(wanted, np.diff(self.starts)))

    def without(self, model: str) -> CandidateSet:
        """Return the candidates as they would be had the model not existed: neither its columns nor what only it retrieved."""
        own = {f"score_{model}", f"rank_{model}", f"z_{model}"}
        own |= {name for name in self.features if name.startswith(f"factor_{model}_")}
        others = [name for name in self.retrievers if name != model]
        n_sources = _count_retrievers([self.features[f"rank_{name}"] for name in others], len(self.items))
        left = {name: values for name, values in self.features.items() if name not in own} | {"n_sources": n_sources}
        kept = replace(self, features=left).take(n_sources > 0)
        return replace(kept, features=kept.features | _normalised(kept.features, kept.starts))

    def take(self, mask: NDArray[np.bool_]) -> CandidateSet:
        """Return some of the rows; a user without any is skipped."""
        row_users = self.row_users[mask]
        starts = starts_of(row_users)
        users = row_users[starts[:-1]]
        features = {name: values[mask] for name, values in self.features.items()}
        return CandidateSet(users, starts, self.items[mask], self.n_history[np.searchsorted(self.users, users)], features)


@dataclass(frozen=True)
class FeatureFiles:
    """The Parquet files that a split's features come from; only paths, so that it can travel to Spark's workers.

    repeats: none where lists may not hold repeats. cut: of the split, seconds since 1970.
    """

    interactions: tuple[str, ...]
    user_features: tuple[str, ...]
    item_features: tuple[str, ...]
    items: tuple[str, ...]
    repeats: tuple[str, ...] = ()
    cut: float = 0.0


@dataclass(frozen=True)
class ItemColumns:
    """Facts about every item, read once per process.

    features: float32 (n_items,) by column name. categories: csr float32 (n_items, n_categories) of ones.
    """

    features: dict[str, Floats]
    categories: csr_array

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""
        return int(self.categories.shape[0])


def feature_files(run: Run, split: str) -> FeatureFiles:
    """Return the files of a split's features."""
    return FeatureFiles(
        interactions=tuple(run.files("model_interactions", split)),
        user_features=tuple(run.files("model_user_features", split)),
        item_features=tuple(run.files("model_item_features", split)),
        items=tuple(run.files("model_items")),
        repeats=tuple(run.files(repeats.TABLE, split)) if run.manifest.repeats else (),
        cut=run.split(split).cut.timestamp(),
    )


def load_candidates(run: Run, split: str, users: Ints | None = None) -> CandidateSet:
    """Return the candidates of a split, of all its users or of some."""
    rows = _read_users(run.files("model_candidates", split), users)
    files = feature_files(run, split)
    return build_candidates(rows, files, load_items(files))


def build_candidates(rows: pa.Table, files: FeatureFiles, items: ItemColumns) -> CandidateSet:
    """Return the candidate set of some users' rows, complete for each of them, in any order of rows."""
    rows = rows.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    row_users = rows["user_idx"].to_numpy().astype(np.int32)
    row_items = rows["item_idx"].to_numpy().astype(np.int32)
    if len(row_items) and row_items.max() >= items.n_items:
        raise PermanentError(
            f"model_candidates: item_idx {row_items.max()} is outside model_items with {items.n_items} rows; rerun the night"
        )
    starts = starts_of(row_users)
    users = row_users[starts[:-1]]
    features = {name: _floats(rows[name]) for name in rows.column_names if name not in ("user_idx", "item_idx")}
    features |= _normalised(features, starts)
    of_users = _user_columns(users, files.user_features)
    n_history = np.rint(of_users.pop("user_n_items")).astype(np.int32)
    of_users["user_log_n_items"] = np.log1p(n_history).astype(np.float32)
    features |= {name: np.repeat(values, np.diff(starts)) for name, values in of_users.items()}
    features |= {name: values[row_items] for name, values in items.features.items()}
    for habit in HABITS:
        features[f"gap_{habit}"] = np.abs(features[f"user_{habit}_share"] - features[f"item_{habit}_share"])
    history = _read_users(list(files.interactions), users, [*HISTORY, *(repeats.COLUMNS if files.repeats else ())])
    features["affinity_category"] = _category_affinity(users, starts, row_items, history, items)
    if files.repeats:
        features |= repeats.columns(history, users, starts, row_items, files.cut, features["item_gap_days"])
    return CandidateSet(users, starts, row_items, n_history, features)


def load_items(files: FeatureFiles) -> ItemColumns:
    """Return item features by item_idx; an item without events counts 0 and has no age."""
    catalogue = _read(files.items, ["item_idx", "learnt_categories"]).sort_by("item_idx")
    table = _read(files.item_features, ["item_idx", *ITEM_COUNTS, *ITEM_VALUES])
    features = {}
    for name, values in _of_items(table, (*ITEM_COUNTS, *ITEM_VALUES), catalogue.num_rows).items():
        features[_log_name(name) if name in ITEM_COUNTS else name] = np.log1p(np.nan_to_num(values)) if name in ITEM_COUNTS else values
    if files.repeats:
        features |= _of_items(_read(files.repeats, ["item_idx", *ITEM_REPEATS]), ITEM_REPEATS, catalogue.num_rows)
    return ItemColumns(features, _category_matrix(catalogue["learnt_categories"].to_pylist()))


def _of_items(table: pa.Table, names: Iterable[str], n_items: int) -> dict[str, Floats]:
    """Return columns by item_idx, float32 (n_items,), NaN for an item without a row."""
    where = table["item_idx"].to_numpy()
    columns = {name: np.full(n_items, np.nan, dtype=np.float32) for name in names}
    for name, values in columns.items():
        values[where] = _floats(table[name])
    return columns


def _normalised(features: dict[str, Floats], starts: Starts) -> dict[str, Floats]:
    scores = sorted(name for name in features if name.startswith("score_"))
    z = {f"z_{name.removeprefix('score_')}": zscore(features[name], starts) for name in scores}
    ranks = [values for name, values in sorted(features.items()) if name.startswith("rank_")]
    of_retrievers = [z[f"z_{name.removeprefix('rank_')}"] for name in sorted(features) if name.startswith("rank_")]
    return z | {"mean_z": _mean(of_retrievers)} | _fused(ranks)


def _mean(columns: list[Floats]) -> Floats:
    """Return the mean of the existing values, 0 without any."""
    known, total = np.zeros(len(columns[0]), np.int32), np.zeros(len(columns[0]))
    for values in columns:
        known += ~np.isnan(values)
        total += np.nan_to_num(values)
    return (total / np.maximum(known, 1)).astype(np.float32)


def _fused(ranks: list[Floats]) -> dict[str, Floats]:
    fused, best = np.zeros(len(ranks[0]), np.float32), np.full(len(ranks[0]), np.inf, np.float32)
    for rank in ranks:
        fused += np.nan_to_num(1 / (FUSION + rank))
        best = np.fmin(best, rank)
    return {"fused_rank": fused, "best_rank": np.where(np.isinf(best), np.nan, best).astype(np.float32)}


def _count_retrievers(ranks: list[Floats], n_rows: int) -> Floats:
    retrieved: Floats = np.zeros(n_rows, dtype=np.float32)
    for rank in ranks:
        retrieved += ~np.isnan(rank)
    return retrieved


def _user_columns(users: Ints, files: Iterable[str]) -> dict[str, Floats]:
    """Return features of the users, float32 (n_users,) by name; a user without history counts 0 and has no recency."""
    table = _read_users(list(files), users)
    where = np.searchsorted(users, table["user_idx"].to_numpy())
    columns = {}
    for name in (*USER_COUNTS, *USER_VALUES):
        values = np.full(len(users), 0.0 if name in USER_COUNTS else np.nan, dtype=np.float32)
        values[where] = _floats(table[name])
        columns[name] = values
    columns[_log_name("user_n_events")] = np.log1p(columns.pop("user_n_events"))
    return columns


def _category_affinity(users: Ints, starts: Starts, row_items: Ints, history: pa.Table, items: ItemColumns) -> Floats:
    rows = np.searchsorted(users, history["user_idx"].to_numpy())
    weights = history["weight"].to_numpy().astype(np.float64)
    totals = np.bincount(rows, weights, minlength=len(users))
    shares = csr_array((weights / totals[rows], (rows, history["item_idx"].to_numpy())), shape=(len(users), items.n_items))
    profiles = csr_array(shares @ items.categories)  # (n_users, n_categories)
    n_categories = np.maximum(np.diff(items.categories.indptr), 1)
    affinity = np.zeros(len(row_items))
    for first in range(0, len(users), 4096):  # bounds the rows that are spread out over categories at a time
        last = min(first + 4096, len(users))
        block = slice(starts[first], starts[last])
        of_rows = profiles[np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))]
        affinity[block] = of_rows.multiply(items.categories[row_items[block]]).sum(axis=1) / n_categories[row_items[block]]
    return affinity.astype(np.float32)


def _category_matrix(categories: list[list[str] | None]) -> csr_array:
    names = {name: column for column, name in enumerate(sorted({name for of_item in categories for name in of_item or ()}))}
    pairs = [(row, names[name]) for row, of_item in enumerate(categories) for name in sorted(set(of_item or ()))]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(categories), max(len(names), 1)))


def _read(files: Iterable[str], columns: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetDataset(list(files), partitioning=None).read(columns=columns)


def _read_users(files: list[str], users: Ints | None, columns: list[str] | None = None) -> pa.Table:
    """Return the rows of some users, sorted or not; only the needed row groups of files sorted by user are read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    data = ds.dataset(files, format="parquet", partitioning=None)
    if users is None:
        return data.to_table(columns=columns)
    if not len(users):
        return data.head(0, columns=columns)
    user = pc.field("user_idx")
    within = (user >= int(users.min())) & (user <= int(users.max()))
    table = data.to_table(columns=columns, filter=within)
    return table.filter(pc.is_in(table["user_idx"], value_set=pa.array(users, pa.int32())))


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast("float32").to_numpy(zero_copy_only=False), dtype=np.float32)


def _log_name(name: str) -> str:
    return name.replace("_n_", "_log_n_", 1)

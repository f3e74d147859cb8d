"""A candidate set: the candidates of some users with named feature columns, the same object in training and in scoring.

Features are of a point in time: they come from the tables of one split, which hold nothing past its cut. Jobs load
a whole split's candidates with `load_candidates`; inside Spark's mapInArrow the same `build_candidates` makes it from the rows of a
block of users.

    score_<model>, rank_<model>   as the retriever gave them, NaN where it gave none
    z_<model>                     the score in standard deviations from the user's mean
    factor_<model>_<n>            product of the user's and the item's n-th factor
    last<n>_<model>               nearness to the user's last n items by a model of nearness; whole visits, where several items share one
    mean_z                        mean of the retrievers' z-scores, the equal-weight blend
    fused_rank                    sum over the retrievers of 1 / (60 + rank), reciprocal rank fusion
    best_rank                     the best rank that a retriever gave
    n_sources                     how many retrievers retrieved the pair
    user_*, item_*                features of the split; counts as log(1 + n); age and recency in days; shares of events
    gap_<habit>                   distance between the user's and the item's share of events with that habit
    affinity_category             share of the user's history that has the item's categories, averaged over them

Only if the data have brands, prices, types of events, impressions, a calendar:

    item_log_n_events_<h>h, item_trend_<h>h    events in the run's window of h hours, and against those before: see dataset/features.py
    item_category_rank, *_price*, affinity_*   see tastes.py
    item_taken_rate, pair_log_n_shown, pair_log_n_passed    see shown.py
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
from hybridrec.candidates import repeats, shown, tastes
from hybridrec.candidates.groups import Floats, Starts, starts_of, zscore
from hybridrec.splitting import visits
from hybridrec.storage import store
from hybridrec.types import Doubles

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

Ints = NDArray[np.int32]
USER_COUNTS = ("user_n_items", "user_n_events")
HABITS = ("weekend", "evening", "mobile")
USER_VALUES = ("user_recency_days", "user_span_days", "user_mean_log_popularity", *(f"user_{habit}_share" for habit in HABITS))
ITEM_COUNTS = ("item_n_users", "item_n_events", "item_n_events_90d", "item_n_events_30d", "item_n_events_7d")
ITEM_VALUES = ("item_age_days", "item_recency_days", *(f"item_{habit}_share" for habit in HABITS))
ITEM_WINDOW = ("item_n_events_window", "item_trend")  # only with a calendar
ITEM_REPEATS = ("item_repeat_share", "item_gap_days")
HISTORY = ("user_idx", "item_idx", "weight")
FUSION = 60  # Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009


@dataclass(frozen=True)
class CandidateSet:
    """Candidates sorted by user, then item.

    users: int32 (n_users,), sorted; each has a row. starts: rows starts[u]:starts[u + 1] belong to users[u].
    items: int32 (n_rows,). n_history: int32 (n_users,), items in the user's history, 0 for none.
    features: float32 (n_rows,) by column name, NaN without a value.
    weights: float64 (n_users,), how much each user counts for who learns from the candidates, see hybridrec.splitting.mix; None: all alike.
    """

    users: Ints
    starts: Starts
    items: Ints
    n_history: Ints
    features: dict[str, Floats]
    weights: Doubles | None = None

    @cached_property
    def row_users(self) -> Ints:
        """user_idx of each row, int32 (n_rows,)."""
        return np.repeat(self.users, np.diff(self.starts))

    @property
    def row_weights(self) -> Doubles | None:
        """The user's weight for each row, float64 (n_rows,); None: all alike."""
        return None if self.weights is None else np.repeat(self.weights, np.diff(self.starts))

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
        own |= {name for name in self.features if name.startswith("last") and name.partition("_")[2] == model}
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
        at = np.searchsorted(self.users, users)
        weights = None if self.weights is None else self.weights[at]
        return CandidateSet(users, starts, self.items[mask], self.n_history[at], features, weights)


@dataclass(frozen=True)
class FeatureFiles:
    """The Parquet files that a split's features come from; only paths, so that it can travel to Spark's workers.

    repeats: none where lists may not hold repeats. cut: of the split, seconds since 1970. visits, shown, item_shown: none where events are
    of one type, where nothing was shown. event_types: of the visits. window_hours: of the run's window; 0 without one.
    """

    interactions: tuple[str, ...]
    user_features: tuple[str, ...]
    item_features: tuple[str, ...]
    items: tuple[str, ...]
    repeats: tuple[str, ...] = ()
    visits: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    item_shown: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    window_hours: int = 0
    cut: float = 0.0

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        required = (*self.interactions, *self.user_features, *self.item_features, *self.items)
        return (*required, *self.repeats, *self.visits, *self.shown, *self.item_shown)


@dataclass(frozen=True)
class ItemColumns:
    """Facts about every item, read once per process.

    features: float32 (n_items,) by column name. categories: csr float32 (n_items, n_categories) of ones. brands: the same, None without.
    """

    features: dict[str, Floats]
    categories: csr_array
    brands: csr_array | None = None

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
        visits=tuple(run.files(visits.TABLE, split)) if run.manifest.event_types else (),
        shown=_files_of_some(run, shown.PAIRS, split),
        item_shown=_files_of_some(run, shown.ITEMS, split),
        event_types=run.manifest.event_types,
        window_hours=run.manifest.window_hours,
        cut=run.split(split).cut.timestamp(),
    )


def _files_of_some(run: Run, name: str, split: str) -> tuple[str, ...]:
    """Return the files of a table that not every run has."""
    return tuple(run.files(name, split)) if store.is_committed(run.dataset(name, split)) else ()


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
    features |= _taste_columns(files, users, starts, row_items, history, items)
    if files.shown:
        features |= shown.pair_columns(_read_users(list(files.shown), users), users, starts, row_items)
    if files.repeats:
        features |= repeats.columns(history, users, starts, row_items, files.cut, features["item_gap_days"])
    return CandidateSet(users, starts, row_items, n_history, features)


def load_items(files: FeatureFiles) -> ItemColumns:
    """Return item features by item_idx; an item without events counts 0 and has no age."""
    catalogue = _read(files.items, ["item_idx", "learnt_categories", "brand", "price"]).sort_by("item_idx")
    names = (*ITEM_COUNTS, *ITEM_VALUES, *(ITEM_WINDOW if files.window_hours else ()))
    features = {}
    for name, values in _of_items(_read(files.item_features, ["item_idx", *names]), names, catalogue.num_rows).items():
        features[_log_name(name) if "_n_" in name else name] = np.log1p(np.nan_to_num(values)) if "_n_" in name else values
    if files.window_hours:  # by its hours: trees that have learnt another window must not take this one for theirs
        recent, trend = f"item_log_n_events_{files.window_hours}h", f"item_trend_{files.window_hours}h"
        features |= {recent: features.pop("item_log_n_events_window"), trend: features.pop("item_trend")}
    if files.repeats:
        features |= _of_items(_read(files.repeats, ["item_idx", *ITEM_REPEATS]), ITEM_REPEATS, catalogue.num_rows)
    if files.item_shown:
        features["item_taken_rate"] = shown.taken_rate(_read(files.item_shown, ["item_idx", "n_shown", "n_taken"]), catalogue.num_rows)
    categories = tastes.label_matrix(catalogue["learnt_categories"].to_pylist())
    brands = tastes.label_matrix([[brand] if brand else [] for brand in catalogue["brand"].to_pylist()])
    ranks = tastes.label_ranks(categories, features[recent if files.window_hours else "item_log_n_events"])
    prices = tastes.log_prices(catalogue["price"].cast("float64").to_numpy(zero_copy_only=False))
    features |= {name: values for name, values in (("item_category_rank", ranks), ("item_log_price", prices)) if values is not None}
    return ItemColumns(features, categories, brands if brands.nnz else None)


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


def _taste_columns(
    files: FeatureFiles, users: Ints, starts: Starts, row_items: Ints, history: pa.Table, items: ItemColumns
) -> dict[str, Floats]:
    """Return what the candidates have in common with the users' choices, float32 (n_rows,) by name."""
    chosen = tastes.chosen_of(history, users, "weight")
    labels = {"category": items.categories} | ({} if items.brands is None else {"brand": items.brands})
    found = {f"affinity_{name}": tastes.affinity(chosen, of_items, starts, row_items) for name, of_items in labels.items()}
    if "item_log_price" in items.features:
        found |= tastes.price_columns(chosen, items.features["item_log_price"], starts, row_items)
    if not files.visits:
        return found
    visited = _read_users(list(files.visits), users, ["user_idx", "item_idx", "event_type"])
    for name in files.event_types:
        of_type = tastes.chosen_of(visited.filter(_is(visited["event_type"], name)), users)
        found |= {f"affinity_{label}_{name}": tastes.affinity(of_type, of_items, starts, row_items) for label, of_items in labels.items()}
    return found


def _is(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.equal(column, value)


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
    user = pc.field("user_idx")  # the range says which row groups hold them, which a set does not
    wanted = (user >= int(users.min())) & (user <= int(users.max())) & user.isin(pa.array(users, pa.int32()))
    return data.to_table(columns=columns, filter=wanted)


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast("float32").to_numpy(zero_copy_only=False), dtype=np.float32)


def _log_name(name: str) -> str:
    return name.replace("_n_", "_log_n_", 1)

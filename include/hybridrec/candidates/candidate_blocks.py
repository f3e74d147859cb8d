"""The candidates: every retriever's candidates for each user, each pair scored by every model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.retrieval.recency import last_items
from hybridrec.retrieval.select import row_numbers
from hybridrec.runs.run import Run
from hybridrec.storage import shared_files, store
from hybridrec.tables import table
from hybridrec.training.fits import load_fit
from hybridrec.types import NO_ITEM, Floats, HasFactors, Ints, KnowsNearness, Neighbours, PairScorer, Retriever, UserBlock

if TYPE_CHECKING:
    import pyarrow as pa

USERS_AT_ONCE = 500  # some 150,000 pairs times two columns a model
LAST_ITEMS = (1, 3, 5)  # of the history, to which a candidate's nearness is a feature
KEPT_MODELS = 32  # a worker may serve all three splits


class ModelChoice(NamedTuple):
    """Models of the run that take part in its candidates, and requested models without a fit."""

    used: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class FittedModels:
    """Input of a worker that makes a split's candidates: names and paths, no models.

    folders: model and folder of its fit. catalogue: items that may be candidates, bool (n_items,); a byte an item travels
    with the task, since a file of it could be replaced by a second attempt at the job while workers of the first read it.
    ordered: the items of a history have an order, so some are the last ones.
    """

    folders: tuple[tuple[str, str], ...]
    catalogue: NDArray[np.bool_]
    pool_k: int
    pool_size: int
    ordered: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(name for name, _ in self.folders)


def choose_models(run: Run) -> ModelChoice:
    """Return the models fitted on all splits, as the ranker must find the same columns on each; PermanentError without a required one."""
    fitted = {name for name in run.manifest.models if all(store.is_committed(run.dataset(f"models/{name}", split)) for split in run.splits)}
    missing = tuple(sorted(set(run.manifest.models) - fitted))
    required = [name for name in missing if extensions.module("models", name).REQUIRED]
    if required or not fitted:
        lacking = ", ".join(required) or "every model"
        raise PermanentError(
            f"models of run {run.run_id}: {lacking} not fitted on all of the splits {', '.join(run.splits)}; "
            "look at the failed train_model tasks, clear them and run them again"
        )
    return ModelChoice(tuple(sorted(fitted)), missing)


def fitted_models(run: Run, split: str, names: Iterable[str]) -> FittedModels:
    """Return the paths of these models' fits of a split and of the split's catalogue, for a worker."""
    folders = tuple((name, str(run.artefact(f"models/{name}", split))) for name in names)
    return FittedModels(folders, candidate_items(run, split), run.config.pool_k, run.config.pool_size, is_ordered(run))


def is_ordered(run: Run) -> bool:
    """Return whether the items of a history have an order."""
    return run.config.split != "random_per_user"


def candidates_ddl(names: Iterable[str], ordered: bool = True) -> str:
    """Return Spark schema of the candidates of these retrievers."""
    return table("model_candidates").spark_ddl() + "".join(f", `{column}` float" for name in names for column in columns_of(name, ordered))


def columns_of(model: str, ordered: bool = True) -> tuple[str, ...]:
    """Return the columns that a model adds to the candidates."""
    rank = (f"rank_{model}",) if retrieves(model) else ()
    near = tuple(nearness_column(model, n) for n in LAST_ITEMS if ordered and _knows_nearness(model))
    return (f"score_{model}", *rank, *factor_columns(model), *near)


def nearness_column(model: str, n: int) -> str:
    """Return the name of a model's nearness to the last n items."""
    return f"last{n}_{model}"


def nearness_columns(models: Mapping[str, PairScorer], users: UserBlock, rows: Ints, items: Ints) -> dict[str, Floats]:
    """Return how near pairs are to the user's last items by each model that knows, float32 (n_pairs,) by column."""
    knowing = {name: model for name, model in models.items() if isinstance(model, KnowsNearness)}
    last = {n: last_items(users, n) for n in LAST_ITEMS} if knowing else {}
    return {nearness_column(name, n): model.nearness(chosen, rows, items) for name, model in knowing.items() for n, chosen in last.items()}


def _knows_nearness(model: str) -> bool:
    return hasattr(extensions.module("models", model).Model, "nearness")


def factor_columns(model: str) -> tuple[str, ...]:
    """Return the columns of a model that HasFactors; none for others."""
    n_factors = getattr(extensions.module("models", model).Model, "N_FACTORS", 0)
    return tuple(f"factor_{model}_{number}" for number in range(n_factors))


def retrieves(model: str) -> bool:
    """Return whether the model finds candidates; otherwise it only scores those of others."""
    return hasattr(extensions.module("models", model).Model, "top_k")


def candidate_batches(batches: Iterable[pa.RecordBatch], fitted: FittedModels) -> Iterator[pa.RecordBatch]:
    """Yield candidates for batches of users: user_idx, items, weights, days (item numbers, rising; weight and age), disliked.

    disliked, had: numbers of items that the user did not like, and that no list may hold, rising; the columns may be missing.
    """
    models = {name: _loaded(name, folder) for name, folder in fitted.folders}
    for batch in batches:
        for start in range(0, batch.num_rows, USERS_AT_ONCE):
            part = batch.slice(start, USERS_AT_ONCE)
            users = user_block_of(part, len(fitted.catalogue))
            unwanted = items_of(part, "disliked", len(fitted.catalogue))
            yield candidate_block(models, users, fitted.catalogue, fitted.pool_k, fitted.pool_size, unwanted, fitted.ordered)


@lru_cache(maxsize=KEPT_MODELS)
def _loaded(name: str, folder: str) -> PairScorer:
    return load_fit(name, shared_files.fetch_folder(Path(folder)))  # a fit's folder is never written twice, so its path identifies it


def user_block_of(batch: pa.RecordBatch, n_items: int) -> UserBlock:
    """Return users with their histories from an Arrow batch."""
    items, weights, days = batch["items"], batch["weights"], batch["days"]
    lengths = items.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    history = csr_array(
        (
            weights.flatten().to_numpy(zero_copy_only=False).astype(np.float32),
            items.flatten().to_numpy(zero_copy_only=False).astype(np.int32),
            ends,
        ),
        shape=(batch.num_rows, n_items),
    )
    ages = days.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    had = items_of(batch, "had", n_items) if "had" in batch.schema.names else None
    return UserBlock(batch["user_idx"].to_numpy(zero_copy_only=False).astype(np.int32), history, ages, had)


def items_of(batch: pa.RecordBatch, column: str, n_items: int) -> csr_array:
    """Return a column of item numbers of the users of an Arrow batch: ones, csr float32 (n_users, n_items); none without the column."""
    shape = (batch.num_rows, n_items)
    if column not in batch.schema.names:
        return csr_array(shape, dtype=np.float32)
    items = batch[column]
    ends = np.concatenate([[0], np.cumsum(items.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))]).astype(np.int32)
    numbers = items.flatten().to_numpy(zero_copy_only=False).astype(np.int32)
    return csr_array((np.ones(len(numbers), np.float32), numbers, ends), shape=shape)


def candidate_block(
    models: Mapping[str, PairScorer],
    users: UserBlock,
    catalogue: NDArray[np.bool_],
    pool_k: int,
    pool_size: int,
    disliked: csr_array | None = None,
    ordered: bool = True,
) -> pa.RecordBatch:
    """Return model_candidates of some users: the union of each retriever's top pool_k, scored by every model.

    catalogue: items that may be candidates, bool (n_items,); other items of a retriever are ignored, and so are items that the user
    disliked (disliked: csr (n_users, n_items)). Each user keeps the pool_size pairs with the best rank in any retriever's list, so that
    every retriever contributes. Sorted by the users' order in the block, then item_idx. score_<model> is null where the model has no score
    for the pair, rank_<model> where it did not retrieve it; a model that cannot retrieve has no rank column. ordered: the items of a
    history have an order, so last<n>_<model> is there for a model that KnowsNearness.
    """
    import pyarrow as pa

    n_items = users.history.shape[1]
    retrieved = {name: model.top_k(users, pool_k) for name, model in models.items() if isinstance(model, Retriever)}
    unwanted = np.zeros(0, np.int64) if disliked is None else row_numbers(disliked) * np.int64(n_items) + disliked.indices
    cells = {name: _cells(best, catalogue, unwanted) for name, best in retrieved.items()}
    union, n_sources = _union(cells, n_items, pool_size)
    rows, items = (union // n_items).astype(np.int32), (union % n_items).astype(np.int32)
    columns = {"user_idx": pa.array(users.user_idx[rows]), "item_idx": pa.array(items), "n_sources": pa.array(n_sources.astype(np.int16))}
    near = nearness_columns(models, users, rows, items) if ordered else {}
    for name, model in models.items():
        columns[f"score_{name}"] = pa.array(model.score_pairs(users, rows, items), pa.float32(), from_pandas=True)
        if name in cells:
            columns[f"rank_{name}"] = pa.array(_ranks(cells[name], union), pa.float32(), from_pandas=True)
        if isinstance(model, HasFactors):
            factors = model.pair_factors(users, rows, items)
            columns |= {column: pa.array(factors[:, at], from_pandas=True) for at, column in enumerate(factor_columns(name))}
        of_model = [column for n in LAST_ITEMS if (column := nearness_column(name, n)) in near]
        columns |= {column: pa.array(near[column], from_pandas=True) for column in of_model}
    return pa.record_batch(columns)


class _Retrieved(NamedTuple):
    """Retrieved pairs as row * n_items + item, and the rank that the retriever gave each."""

    cells: NDArray[np.int64]
    ranks: Floats


def _cells(best: Neighbours, catalogue: NDArray[np.bool_], unwanted: NDArray[np.int64]) -> _Retrieved:
    kept = (best.items != NO_ITEM) & catalogue[best.items]
    if len(unwanted):
        kept &= ~np.isin(np.arange(len(kept))[:, None] * np.int64(len(catalogue)) + best.items, unwanted)
    rows, _ = np.nonzero(kept)
    items: Ints = best.items[kept]
    return _Retrieved(rows * np.int64(len(catalogue)) + items, np.cumsum(kept, axis=1)[kept].astype(np.float32))


def _union(retrieved: Mapping[str, _Retrieved], n_items: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells that stay, rising, and how many retrievers retrieved each."""
    if not retrieved:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    every = np.concatenate([of_model.cells for of_model in retrieved.values()])
    union, union_index, counts = np.unique(every, return_inverse=True, return_counts=True)
    best = np.full(len(union), np.inf, dtype=np.float32)
    np.minimum.at(best, union_index, np.concatenate([of_model.ranks for of_model in retrieved.values()]))
    rows = union // n_items
    order = np.lexsort((union, -counts, best, rows))
    kept = np.sort(order[np.arange(len(union)) - np.searchsorted(rows, rows) < size])  # rows rise, in the order as well
    return union[kept], counts[kept]


def _ranks(retrieved: _Retrieved, union: NDArray[np.int64]) -> Floats:
    ranks = np.full(len(union), np.nan, dtype=np.float32)
    kept = np.isin(retrieved.cells, union)
    ranks[np.searchsorted(union, retrieved.cells[kept])] = retrieved.ranks[kept]
    return ranks

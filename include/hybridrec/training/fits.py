"""Read the training data of a split's base model, and keep its fit.

A fitted model is an artefact folder: the model's own arrays, and `fit.json` with its options and metrics, so the
folder alone is enough to load it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base import extensions
from hybridrec.base.config import with_options
from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import FORMER_SPLITS, Run
from hybridrec.splitting import purposes, visits
from hybridrec.storage import store
from hybridrec.types import BuildsIndex, Floats, Ints, PairScorer, TrainingData, UserBlock

if TYPE_CHECKING:
    import pyarrow as pa

DAY_MICROS = 86_400e6
FIT_FILE = "fit.json"


def training_data(run: Run, split: str, model: str = "") -> TrainingData:
    """Return the events before the split's cut as a matrix, the catalogue, and the seed of this model's fit."""
    items = run.read("model_items").sort_by("item_idx").drop_columns(["first_event_at", "categories"]).to_pandas()
    users = run.read("model_users").sort_by("user_idx").to_pandas()
    matrix, last_event_day = histories(run, split, (len(users), len(items)))
    return TrainingData(
        matrix=matrix,
        last_event_day=last_event_day,
        items=items.rename(columns={"learnt_categories": "categories"}),
        item_age_days=_item_ages(run, split, len(items)),
        users=users,
        seed=model_seed(run.config.seed, model, split),
        threads=run.settings.threads,
        split=run.config.split,
        item_vectors=partial(_item_vectors, run, len(items)) if run.manifest.vectors else None,
        visits=visits.read(run, split) if _needs_types(model) else None,
    )


def histories(run: Run, split: str, shape: tuple[int, int], users: range | None = None) -> tuple[csr_array, NDArray[np.float64]]:
    """Return TrainingData.matrix and last_event_day of all users, or of a range of them as the first rows. shape: n_users, n_items."""
    pairs = run.read("model_interactions", split, ["user_idx", "item_idx", "weight", "last_event_at"], users)
    pairs = pairs.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    days = days_before(pairs["last_event_at"], run.split(split).cut)
    return _csr(pairs, pairs["weight"], shape, users.start if users else 0), days


def _item_vectors(run: Run, n_items: int) -> Floats:
    """Return TrainingData.item_vectors; batch by batch, since they are the largest part of a catalogue."""
    import pyarrow.dataset as ds

    vectors = np.zeros((n_items, 0), dtype=np.float32)
    for batch in ds.dataset(run.files("model_item_vectors")).to_batches():
        if not batch.num_rows:
            continue
        rows = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
        if not vectors.shape[1]:
            vectors = np.zeros((n_items, rows.shape[1]), dtype=np.float32)
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        vectors[batch["item_idx"].to_numpy()] = rows / np.where(lengths > 0, lengths, 1)
    return vectors


def _needs_types(model: str) -> bool:
    return bool(model) and "types" in getattr(extensions.module("models", model), "NEEDS", ())


def days_before(at: pa.ChunkedArray, cut: datetime) -> NDArray[np.float64]:
    """Return days from time stamps to the cut."""
    days: NDArray[np.float64] = (cut.timestamp() * 1e6 - at.cast("int64").to_numpy()) / DAY_MICROS
    return days


def user_block(run: Run, split: str, user_idx: Ints) -> UserBlock:
    """Return some users with their history before the split's cut, in the order given; only their rows are read."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    n_items = store.read_manifest(run.dataset("model_items")).rows
    first, last = (int(user_idx.min()), int(user_idx.max())) if len(user_idx) else (0, -1)
    number = ds.field("user_idx")  # the range says which row groups hold them, which a set does not
    wanted = (number >= first) & (number <= last) & number.isin(pa.array(user_idx, pa.int32()))
    columns = ["user_idx", "item_idx", "weight", "last_event_at"]
    pairs = ds.dataset(run.files("model_interactions", split)).to_table(columns=columns, filter=wanted)
    pairs = pairs.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    known, compact = np.unique(pairs["user_idx"].to_numpy(), return_inverse=True)
    # one empty row after the known ones serves all users without history
    history = _csr(pairs.set_column(0, "user_idx", pa.array(compact)), pairs["weight"], (len(known) + 1, n_items))
    days = days_before(pairs["last_event_at"], run.split(split).cut).astype(np.float32)
    users = np.append(known, -1).astype(np.int32)
    rows = np.searchsorted(known, user_idx)
    block = UserBlock(users, history, days).take(np.where(users[rows] == user_idx, rows, len(known)))
    return replace(block, user_idx=user_idx.astype(np.int32), had=purposes.had(run, split, user_idx))


def _csr(pairs: pa.Table, values: pa.ChunkedArray, shape: tuple[int, int], first: int = 0) -> csr_array:
    """Return sorted pairs user_idx, item_idx with a value each as a matrix (n_users, n_items). first: number of the first user."""
    indptr = np.searchsorted(pairs["user_idx"].to_numpy(), first + np.arange(shape[0] + 1)).astype(np.int64)
    indices = pairs["item_idx"].to_numpy().astype(np.int32)
    if len(indices) < np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)  # scipy copies an index array whose type is not its partner's
    return csr_array((values.to_numpy().astype(np.float32), indices, indptr), shape=shape)


def _item_ages(run: Run, split: str, n_items: int) -> np.ndarray:
    features = run.read("model_item_features", split, ["item_idx", "item_age_days"])
    ages = np.full(n_items, np.nan, dtype=np.float32)
    ages[features["item_idx"].to_numpy()] = features["item_age_days"].to_numpy()
    return ages


def model_seed(seed: int, model: str, split: str) -> int:
    """Return a separate seed for each model and split, the same in every process and in every version of this code."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{model}:{FORMER_SPLITS[split]}".encode()).digest()[:4], "big") >> 1


def config_of(model: str, options: Mapping[str, Any]) -> Any:
    """Return the model's Config with the night's overrides; PermanentError for an unknown model or option."""
    return with_options(extensions.module("models", model).Config(), dict(options), f"[models.{model}]")


def fit_model(model: str, data: TrainingData, options: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Fit a model and leave it with its fit.json in the folder; returns the fit's metrics."""
    config = config_of(model, options)
    if data.matrix.nnz == 0:
        raise PermanentError(
            f"models.{model}: the interaction matrix is empty; expected at least one positive event before the split's cut"
        )
    fitted = extensions.module("models", model).Model(config)
    metrics: dict[str, float] = fitted.fit(data)
    if isinstance(fitted, BuildsIndex):
        metrics |= fitted.build_index(data)
    fitted.save(folder)
    # a leak alarm holds seed and pairs against the split that the fit says it is of
    record = {"model": model, "config": asdict(config), "seed": data.seed, "pairs": data.matrix.nnz, "metrics": metrics}
    (folder / FIT_FILE).write_text(json.dumps(record, indent=1, sort_keys=True))
    return metrics


def load_fit(model: str, folder: Path) -> PairScorer:
    """Return the model that fit_model left in the folder, with the options it was fitted with."""
    config = config_of(model, json.loads((folder / FIT_FILE).read_text())["config"])
    return cast(PairScorer, extensions.module("models", model).Model.load(folder, config))

"""One fit by several processes: each learns from its share of every batch, and their gradients are averaged.

Spark's TorchDistributor starts the processes: on this machine where the session is a local one, else on the cluster's
executors, for which the home folder must be a shared one. The data go there as files and the fit comes back as the model's
own files; nothing but names and options travels with Spark. Every process draws the same batches and takes the same
number of steps, so their weights stay equal, and the same number of processes gives the same fit.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from hybridrec.base.settings import Settings
from hybridrec.retrieval.dot import DotProductModel
from hybridrec.types import PairScorer, TrainingData

M = TypeVar("M", bound=DotProductModel[Any])
B = TypeVar("B", NDArray[np.int64], Tensor)
MATRIX, ARRAYS, FRAMES = ("data", "indices", "indptr"), ("last_event_day", "item_age_days"), ("items", "users")
SCALARS, VECTORS = ("seed", "threads", "split"), "item_vectors"
FITTED, METRICS = "fitted", "metrics.json"


def fit_in_processes(alone: M, data: TrainingData, processes: int) -> tuple[M, dict[str, float]]:
    """Return the model as the processes fit it together, and its metrics. alone: the model with its options for one process.

    Its training must be hybridrec.deep.training_loop's. RuntimeError with the end of their output when a process fails.
    """
    from pyspark.ml.torch.distributor import TorchDistributor

    from hybridrec.execution.spark import session

    shared = Settings.from_env().home / "spark"
    shared.mkdir(parents=True, exist_ok=True)
    local = session().conf.get("spark.master").startswith("local")
    with tempfile.TemporaryDirectory(dir=shared, prefix="fit-") as name:
        folder = Path(name)
        write_data(data, folder)
        TorchDistributor(processes, local_mode=local, use_gpu=False).run(_fit_share, alone, name)
        # its arrays are mapped, and outlive their files' names
        return type(alone).load(folder / FITTED, alone.config), json.loads((folder / METRICS).read_text())


def _fit_share(alone: PairScorer, name: str) -> None:
    """Run one process of the fit; the first one's fit is kept."""
    folder = Path(name)
    dist.init_process_group("gloo")
    try:
        metrics = alone.fit(read_data(folder))
        if dist.get_rank() == 0:
            (folder / FITTED).mkdir()
            alone.save(folder / FITTED)
            (folder / METRICS).write_text(json.dumps(metrics))
        dist.barrier()
    finally:
        dist.destroy_process_group()


def write_data(data: TrainingData, folder: Path) -> None:
    """Write training data as files: arrays as .npy, frames as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: getattr(data.matrix, name) for name in MATRIX} | {name: getattr(data, name) for name in ARRAYS}
    if data.item_vectors is not None:
        arrays[VECTORS] = data.item_vectors()
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    for name in FRAMES:
        pq.write_table(pa.Table.from_pandas(getattr(data, name)), folder / f"{name}.parquet")
    (folder / "scalars.json").write_text(json.dumps({name: getattr(data, name) for name in SCALARS}))


def read_data(folder: Path) -> TrainingData:
    """Read the files of write_data."""
    import pyarrow.parquet as pq

    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in (*MATRIX, *ARRAYS)}
    frames = {name: pq.ParquetFile(folder / f"{name}.parquet").read().to_pandas() for name in FRAMES}
    vectors = folder / f"{VECTORS}.npy"
    item_vectors = partial(np.load, vectors, allow_pickle=False) if vectors.exists() else None
    matrix = csr_array(tuple(arrays.pop(name) for name in MATRIX), shape=(len(frames["users"]), len(frames["items"])))
    return TrainingData(matrix=matrix, item_vectors=item_vectors, **arrays, **frames, **json.loads((folder / "scalars.json").read_text()))


def is_shared() -> bool:
    """Return whether this process is one of several that fit a model together."""
    return bool(dist.is_initialized())


def share_of(batch: B) -> B:
    """Return this process's part of a batch, or of rows; parts are equal, a remainder is dropped."""
    if not is_shared():
        return batch
    size = len(batch) // dist.get_world_size()
    return batch[dist.get_rank() * size :][:size]


def own_draws(seed: int, rng: np.random.Generator) -> np.random.Generator:
    """Return this process's own generator for negatives and drop-outs, because `rng` must stay the same in all processes."""
    return np.random.default_rng([seed, dist.get_rank()]) if is_shared() else rng


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes in the order of the batch; gradients flow back to the process that a row came from."""
    rows_of_all: Tensor = _Gathered.apply(rows) if is_shared() else rows
    return rows_of_all


class _Gathered(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped
    @staticmethod
    def forward(context: object, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return share_of(total)


def first_row(rows: Tensor) -> int:
    """Return the place of this process's first row among the gathered ones."""
    return dist.get_rank() * len(rows) if is_shared() else 0


def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    if is_shared():
        for parameter in network.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()


def mean(value: float) -> float:
    """Return the mean of a number over the processes."""
    if not is_shared():
        return value
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total / dist.get_world_size())

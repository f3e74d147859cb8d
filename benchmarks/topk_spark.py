"""Exact top-k inside Spark against Spark ML: `python -m benchmarks.topk_spark`.

The same factors in the same session on two cores: `ALSModel.recommendForAllUsers`, which blocks users against items
through the JVM and keeps a queue a user, and ours, which is the search of `benchmarks.topk` inside `mapInArrow`, the item
factors mapped from one file by every worker. Both lists must be the same. Spark ML takes minutes, so it runs once.
"""

from __future__ import annotations

import argparse
import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from benchmarks.measure import Claim, in_turns, machine, seconds_of
from hybridrec.retrieval.exact import top_k_dot
from hybridrec.types import Floats, Ints

K, CORES, USERS_A_TASK = 100, 2, 12_500
CHECKED_USERS = 1_000


def main() -> None:
    """Print seconds and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(size, 64)).astype(np.float32) for size in (options.users, options.items))
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    builder = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.driver.memory", "6g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    session = builder.config("spark.log.level", "ERROR").getOrCreate()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            compare(session, folder, users, items)
    finally:
        session.stop()


def compare(session: SparkSession, folder: Path, users: Floats, items: Floats) -> None:
    """Time both ways to the same lists."""
    for name, vectors in (("users", users), ("items", items)):
        ids = pa.array(np.arange(len(vectors), dtype=np.int32))
        features = pa.ListArray.from_arrays(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1], vectors.ravel())
        pq.write_table(pa.table({"id": ids, "features": features}), folder / f"{name}.parquet")
    np.save(folder / "users.npy", users, allow_pickle=False)
    np.save(folder / "items.npy", items, allow_pickle=False)
    ours = in_turns({"ours": lambda: write(of_ours(session, folder, len(users)), folder / "ours")})["ours"]
    theirs = seconds_of(lambda: write(of_spark_ml(session, folder), folder / "theirs"))
    require_same(folder, items, users)
    print(machine("pyspark", "numpy", "numba"))
    print(f"{len(users):,} users x {len(items):,} items x {users.shape[1]}, k = {K}, written to Parquet by both, {CORES} cores")
    print(f"recommendForAllUsers {theirs:8.1f} s, once\nours                 {ours:8.1f} s")
    print(Claim("topk_vs_spark", theirs / ours, 15.0).text())


def write(frame: DataFrame, folder: Path) -> None:
    """Make the frame and keep it."""
    frame.write.mode("overwrite").parquet(str(folder))


def of_ours(session: SparkSession, folder: Path, n_users: int) -> DataFrame:
    """Return user, items (best first) and scores by our search; a task is a range of users."""

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        users, items = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("users", "items"))
        for batch in batches:
            for task in batch["id"].to_pylist():
                rows = np.arange(task * USERS_A_TASK, min((task + 1) * USERS_A_TASK, len(users)), dtype=np.int32)
                yield lists_of(rows, users, items)

    n_tasks = -(-n_users // USERS_A_TASK)
    return session.range(0, n_tasks, 1, n_tasks).mapInArrow(search, "user int, items array<int>, scores array<float>")


def lists_of(rows: Ints, users: Floats, items: Floats) -> pa.RecordBatch:
    """Return the lists of some users as a batch."""
    from scipy.sparse import csr_array

    nothing_seen = csr_array((len(rows), len(items)), dtype=np.float32)
    found = top_k_dot(np.ascontiguousarray(users[rows]), items, nothing_seen, K)
    ends = np.arange(len(rows) + 1, dtype=np.int32) * K
    lists = [pa.ListArray.from_arrays(ends, values.ravel()) for values in (found.items, found.scores)]
    return pa.record_batch({"user": pa.array(rows), "items": lists[0], "scores": lists[1]})


def of_spark_ml(session: SparkSession, folder: Path) -> DataFrame:
    """Return user, items, scores by Spark ML. Its model has no public constructor, so it is made through the JVM."""
    jvm, frames = session._jvm, {name: session.read.parquet(str(folder / f"{name}.parquet")) for name in ("users", "items")}
    made = jvm.org.apache.spark.ml.recommendation.ALSModel("peer", 64, frames["users"]._jdf, frames["items"]._jdf)
    made.setUserCol("user").setItemCol("item")
    found = DataFrame(made.recommendForAllUsers(K), session)
    return found.selectExpr("user", "recommendations.item AS items", "recommendations.rating AS scores")


def require_same(folder: Path, items: Floats, users: Floats) -> None:
    """Stop where the two differ by more than the rounding of a score."""
    found = {name: pq.read_table(folder / name).sort_by("user").slice(0, CHECKED_USERS) for name in ("ours", "theirs")}
    scores = {name: np.array(table["scores"].to_pylist(), dtype=np.float64) for name, table in found.items()}
    if found["ours"]["user"].to_pylist() != found["theirs"]["user"].to_pylist() or np.abs(scores["ours"] - scores["theirs"]).max() > 1e-3:
        raise SystemExit(f"the lists of {users.shape} x {items.shape} differ")


if __name__ == "__main__":
    main()

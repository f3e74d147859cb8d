"""Compare the time of evaluation with that of reading: `python -m benchmarks.metrics`, or with `--users 50_000` in a moment.

Makes lists of 100 items for a million users and five labels each, writes them to Parquet, and times two things: reading
these lists back into an array, and evaluating them by every metric, from the array to the figures; two threads each. Content
vectors have twelve terms an item, as categories and words of a title have. Lists are evaluated at 100 positions, diversity at 20.
Arrow takes its memory from the system, as NumPy does: a night reads its lists once, into pages that it has not had before. The
time of reading into pages of the round before is printed as well; it is not the peer.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_array

import jobs  # noqa: F401  sets the thread counts before numpy is imported
from benchmarks.measure import Claim, in_turns, machine
from hybridrec.metrics import metrics
from hybridrec.metrics.metrics import Labels
from hybridrec.retrieval.sparse import unit_rows

N_LABELS, DEPTH, SHORT = 5, 100, 20
N_TERMS, TERMS_OF_ITEM = 5_000, 12
ROWS_AT_ONCE, THREADS = 50_000, 2


def main() -> None:
    """Print seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=50_000)
    options = parser.parse_args()
    keeping = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    rng = np.random.default_rng(0)
    labels, vectors = make_labels(rng, options.users, options.items), make_vectors(rng, options.items)
    known = rng.integers(0, 1_000, options.items).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lists.parquet"
        write_lists(path, rng, options.users, options.items)
        items = read_lists(path)
        parts = steps_of(items, labels, known, vectors)
        seconds = in_turns({"reading the lists": lambda: read_lists(path), "judging": lambda: [step() for step in parts.values()]})
        seconds |= in_turns(parts)
        pa.set_memory_pool(keeping)
        seconds |= in_turns({"reading into kept pages": lambda: read_lists(path)})
    print(machine("numpy", "numba", "pyarrow"))
    print(f"{options.users:,} users, {DEPTH} items each, {options.items:,} items in the catalogue, {THREADS} threads")
    for name, value in seconds.items():
        print(f"{name:<30} {value:8.2f} s")
    print(Claim("metrics_vs_read", seconds["reading the lists"] / seconds["judging"], 1.0).text())


def steps_of(items: NDArray[np.int32], labels: Labels, known: NDArray[np.float64], vectors: csr_array) -> dict[str, Callable[[], object]]:
    """Return the steps of an evaluation by name."""
    judged = metrics.judge_items(items, labels, THREADS)

    def use_of_catalogue() -> None:
        shown = metrics.exposure(items, len(known), DEPTH, THREADS)
        for of_table in metrics.TABLE_METRICS.values():
            of_table(shown)

    return {
        "- matching lists with labels": lambda: metrics.judge_items(items, labels, THREADS),
        "- the metrics of relevance": lambda: [of_metric(judged, DEPTH) for of_metric in metrics.METRICS.values()],
        "- novelty": lambda: metrics.novelty(items, known, 1_000, DEPTH, THREADS),
        "- serendipity": lambda: metrics.serendipity(judged, known, DEPTH),
        f"- diversity of {SHORT}": lambda: metrics.diversity(items, vectors, SHORT, THREADS),
        "- coverage, gini, top_share": use_of_catalogue,
    }


def make_labels(rng: np.random.Generator, n_users: int, n_items: int) -> Labels:
    """Return distinct items of each user: one random item and those at fixed distances from it."""
    first = rng.integers(0, n_items, n_users)
    items = np.sort((first[:, None] + np.arange(N_LABELS) * 7) % n_items, axis=1).astype(np.int32)
    starts = np.arange(n_users + 1, dtype=np.int64) * N_LABELS
    return Labels(np.arange(n_users, dtype=np.int32), starts, items.ravel(), rng.random(items.size).astype(np.float32) + 0.1)


def make_vectors(rng: np.random.Generator, n_items: int) -> csr_array:
    """Return content vectors of length 1."""
    terms = rng.zipf(1.3, (n_items, TERMS_OF_ITEM)) % N_TERMS
    starts = np.arange(n_items + 1) * TERMS_OF_ITEM
    matrix = csr_array((np.ones(terms.size, dtype=np.float32), terms.ravel().astype(np.int32), starts), shape=(n_items, N_TERMS))
    matrix.sum_duplicates()
    return unit_rows(matrix)


def write_lists(path: Path, rng: np.random.Generator, n_users: int, n_items: int) -> None:
    """Write distinct item_ids of each user, as model_ranked might hold them."""
    schema = pa.schema([("items", pa.list_(pa.int32(), DEPTH))])
    steps = np.arange(DEPTH) * 13
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, n_users, ROWS_AT_ONCE):
            first = rng.integers(0, n_items, min(ROWS_AT_ONCE, n_users - start))
            items = ((first[:, None] + rng.permutation(steps)) % n_items).astype(np.int32)
            writer.write_table(pa.table({"items": pa.FixedSizeListArray.from_arrays(items.ravel(), DEPTH)}, schema))


def read_lists(path: Path) -> NDArray[np.int32]:
    """Return the lists as int32 (n_users, DEPTH)."""
    column = pq.read_table(path)["items"].combine_chunks()
    return np.asarray(column.flatten().to_numpy()).reshape(-1, DEPTH)


if __name__ == "__main__":
    main()

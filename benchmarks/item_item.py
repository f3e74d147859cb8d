"""Each item's nearest items beside implicit, and how the fits grow with the catalogue: `python -m benchmarks.item_item`.

`item_item_vs_implicit`: seconds of implicit's cosine of the same number of neighbours on the same matrix with the same threads,
divided by those of ours, the smaller ratio of two matrices: one of the size of gowalla's public split, one of 300,000 items.
The neighbours are checked against implicit's: of a sample of items the same cosines, ties apart.

`items_growth`: fits of the neighbour models on catalogues of 40,000 to 640,000 items with equally many pairs. The more items, the
fewer meet in a history; the claim is that seconds grow no faster than these co-occurrences, beyond what it takes to read pairs and items.
"""

from __future__ import annotations

import argparse
import os

THREADS = 2
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}

from functools import partial  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import NamedTuple  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from implicit.nearest_neighbours import CosineRecommender  # noqa: E402
from scipy.sparse import csr_array, csr_matrix  # noqa: E402

from benchmarks.measure import Claim, in_turns, machine, seconds_of  # noqa: E402
from hybridrec.models import item_knn, rp3beta, sequence_knn  # noqa: E402
from hybridrec.retrieval.kernels.arrays import Norms  # noqa: E402
from hybridrec.retrieval.nearest import nearest  # noqa: E402
from hybridrec.retrieval.sparse import column_sums, power  # noqa: E402
from hybridrec.types import TrainingData  # noqa: E402

K, CHECKED_ITEMS = 300, 200


class Shape(NamedTuple):
    """A matrix's size."""

    n_users: int
    n_items: int
    n_pairs: int


GOWALLA, LARGE = Shape(29_858, 40_981, 810_000), Shape(200_000, 300_000, 3_000_000)
GROWING = tuple(Shape(100_000, n_items, 1_500_000) for n_items in (40_000, 80_000, 160_000, 320_000, 640_000))


def main() -> None:
    """Print both tables and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a sixteenth of users, items and pairs, to see that it works")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts = 16 if options.small else 1
    print(machine("numpy", "numba", "implicit"))
    print(f"{K} neighbours, {THREADS} threads\n{'users x items, pairs':<36} {'ours':>8} {'implicit':>9}   seconds")
    ratios = [beside_implicit(smaller(shape, parts), options.rounds) for shape in (GOWALLA, LARGE)]
    print(", ".join(f"{ratio:.2f}" for ratio in ratios))
    print(Claim("item_item_vs_implicit", min(ratios), 1.0).text())
    print(Claim("items_growth", growth([smaller(shape, parts) for shape in GROWING], options.rounds), 1.0).text())


def smaller(shape: Shape, parts: int) -> Shape:
    """Return one of so many parts of it."""
    return Shape(*(size // parts for size in shape))


def make_matrix(shape: Shape) -> csr_array:
    """Return choices by power laws of users and items, csr float32 of ones (n_users, n_items)."""
    rng = np.random.default_rng(shape.n_items)
    pairs = np.unique(
        _drawn(shape.n_users, 0.5, 2 * shape.n_pairs, rng) * shape.n_items + _drawn(shape.n_items, 0.6, 2 * shape.n_pairs, rng)
    )
    kept = np.sort(rng.permutation(pairs)[: shape.n_pairs])
    users, items = kept // shape.n_items, (kept % shape.n_items).astype(np.int32)
    starts = np.searchsorted(users, np.arange(shape.n_users + 1)).astype(np.int32)
    return csr_array((np.ones(len(kept), np.float32), items, starts), shape=(shape.n_users, shape.n_items))


def _drawn(n: int, exponent: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return numbers below n, number i with a chance like (i + 1) to the power -exponent."""
    upto = np.cumsum(np.arange(1, n + 1) ** -exponent)
    return rng.permutation(n)[np.searchsorted(upto, rng.random(size) * upto[-1])].astype(np.int64)


def beside_implicit(shape: Shape, rounds: int) -> float:
    """Return the speed-up over implicit on a matrix of that shape; SystemExit if the cosines differ."""
    matrix = make_matrix(shape)
    require_equal(ours(matrix), with_implicit(matrix))
    seconds = in_turns({"ours": lambda: ours(matrix), "implicit": lambda: with_implicit(matrix)}, rounds)
    name = f"{shape.n_users:,} x {shape.n_items:,}, {matrix.nnz:,}"
    print(f"{name:<36} {seconds['ours']:8.2f} {seconds['implicit']:9.2f}", flush=True)
    return seconds["implicit"] / seconds["ours"]


def ours(matrix: csr_array) -> csr_array:
    """Return the cosine of items, each with its K nearest others."""
    norms = power(column_sums(matrix), 0.5)
    return nearest(matrix.T.tocsr(), matrix, K, THREADS, Norms(norms, norms, np.float32(0)))


def with_implicit(matrix: csr_array) -> csr_matrix:
    """Ask implicit for one more, because it counts an item among its own neighbours."""
    model = CosineRecommender(K=K + 1, num_threads=THREADS)
    model.fit(csr_matrix(matrix), show_progress=False)
    found: csr_matrix = model.similarity
    return found


def require_equal(found: csr_array, peer: csr_matrix) -> None:
    """Stop where a sampled item's best cosines differ by more than rounding."""
    for item in np.random.default_rng(1).choice(found.shape[0], CHECKED_ITEMS):
        cosines, of_peer = found[[item]].data, peer[int(item)]
        expected = np.sort(of_peer.data[of_peer.indices != item])[::-1][:K]
        if not np.allclose(np.sort(cosines)[::-1], expected[expected > 0], rtol=1e-4):
            raise SystemExit(f"item {item}: the nearest items' cosines are not those of implicit")


def growth(shapes: list[Shape], rounds: int) -> float:
    """Divide the growth of the fits' work from the first to the last catalogue by the growth of their seconds."""
    models = {"item_knn": item_knn, "sequence_knn": sequence_knn, "rp3beta": rp3beta}
    print(f"\n{'items':>9} {'co-occurrences':>15} " + " ".join(f"{name:>12}" for name in models) + "   seconds")
    work, seconds = [], []
    for shape in shapes:
        data = training_data(make_matrix(shape))
        met = int((np.diff(data.matrix.indptr).astype(np.int64) ** 2).sum())
        taken = [float(np.median([seconds_of(partial(fit, module, data)) for _ in range(rounds)])) for module in models.values()]
        print(f"{shape.n_items:>9,} {met:>15,} " + " ".join(f"{value:12.2f}" for value in taken), flush=True)
        work.append(met + data.matrix.nnz + shape.n_items)
        seconds.append(sum(taken))
    return max(work[-1] / work[0], 1.0) / (seconds[-1] / seconds[0])


def fit(module: ModuleType, data: TrainingData) -> None:
    """Fit a model with its own options."""
    module.Model(module.Config()).fit(data)


def training_data(matrix: csr_array) -> TrainingData:
    """Return the matrix as what a model learns from; every choice has a day."""
    days = np.random.default_rng(2).integers(0, 60, matrix.nnz).astype(np.float64)
    ages = np.zeros(matrix.shape[1], np.float32)
    return TrainingData(matrix, days, pd.DataFrame(), ages, pd.DataFrame(), seed=1, threads=THREADS)


if __name__ == "__main__":
    main()

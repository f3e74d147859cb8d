"""Search in a million items, approximate and exact: `python -m benchmarks.ann`, or with `--items 100_000` in a moment.

Two catalogues of 64 factors. In the first all vectors are equally long, as a two-tower model leaves them: items around 500
topics, users between three of these, so that the best item has a score of .7, the 200th of .6 and the 20,000th of .25 (a
two-tower model fitted on the synthetic shop: .8, .4, -.1). Here the clusters' search stands against the exact one, both the
product's own, with the lists' recall at 200. FAISS' inverted lists are beside it with the same clusters and probes: the same lists,
user by user.

In the second the lengths fall as those of ALS do, where few items are popular. Here the exact search looks at a small
part of the catalogue by itself, and no index is made; its peer is the same search over all items.
"""

from __future__ import annotations

import argparse
import os

THREADS = 2
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}

import faiss  # noqa: E402
import numpy as np  # noqa: E402
from scipy.sparse import csr_array  # noqa: E402

from benchmarks.measure import Claim, in_turns, machine  # noqa: E402
from hybridrec.retrieval import approximate, exact  # noqa: E402
from hybridrec.retrieval.approximate import ClusterIndex, recalls_of  # noqa: E402
from hybridrec.retrieval.exact import Catalogue  # noqa: E402
from hybridrec.types import Floats  # noqa: E402

N_FACTORS, K, SEEN = 64, 200, 30
ITEMS_OF_TOPIC, TOPICS_OF_USER, ITEM_NOISE, USER_NOISE = 2_000, 3, 1.0, 0.6
LENGTH_EXPONENT = 1.0  # of the power law of lengths; some 1.1 in an ALS fit on ten million events of a million items


def main() -> None:
    """Print both comparisons and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=8_192)
    options = parser.parse_args()
    print(machine("numpy", "numba", "faiss-cpu"))
    rng = np.random.default_rng(0)
    users, items = make_vectors(rng, options.users, options.items)
    seen = make_seen(rng, options.users, options.items)
    compare_on_equal_lengths(users, items, seen)
    compare_on_falling_lengths(rng, users, items, seen)


def compare_on_equal_lengths(users: Floats, items: Floats, seen: csr_array) -> None:
    """Compare the clusters with the exact search."""
    catalogue = Catalogue.of(items, np.ones(len(items), np.bool_))
    sample = slice(0, approximate.SAMPLED_USERS)
    index, measured = approximate.choose_index(users[sample], catalogue, seen[sample], seed=1)
    if index is None:
        raise SystemExit(f"no index is good enough: {measured}")
    lists = inverted_lists(index)
    seconds = in_turns(
        {
            "exact": lambda: exact.search(users, catalogue, seen, K, THREADS),
            "clusters": lambda: index.search(users, seen, K, THREADS),
            "FAISS": lambda: lists.search(users, K + int(np.diff(seen.indptr).max())),
        }
    )
    recall = float(recalls_of(index.search(users, seen, K, THREADS), exact.search(users, catalogue, seen, K, THREADS)).mean())
    print(f"{len(users):,} users x {len(items):,} items x {N_FACTORS}, k = {K}, vectors of length 1")
    of_sample = f"{measured.recall:.4f} +- {measured.recall_error:.4f}"
    print(f"{index.probes} of {len(index.centres)} clusters; recall of the sample {of_sample}, of all {recall:.4f}")
    for name, value in seconds.items():
        print(f"{name:<10} {value:8.2f} s {value / len(users) * 1e3:8.3f} ms a user")
    print(Claim("ann_vs_exact", seconds["exact"] / seconds["clusters"], 5.0).text())
    print(Claim("ann_recall", recall, 0.99).text())


def compare_on_falling_lengths(rng: np.random.Generator, users: Floats, items: Floats, seen: csr_array) -> None:
    """Compare the exact search, which stops at items that are too short, with the same search over all items."""
    lengths = rng.permutation(np.arange(1, len(items) + 1) ** -LENGTH_EXPONENT).astype(np.float32)
    catalogue = Catalogue.of(items * lengths[:, None], np.ones(len(items), np.bool_))
    sample = slice(0, approximate.SAMPLED_USERS)
    index, measured = approximate.choose_index(users[sample], catalogue, seen[sample], seed=1)
    whole = catalogue._replace(lengths=np.full(len(items), catalogue.lengths[0]))  # none is too short
    seconds = in_turns(
        {
            "exact": lambda: exact.search(users, catalogue, seen, K, THREADS),
            "all items": lambda: exact.search(users, whole, seen, K, THREADS),
        }
    )
    print(
        f"the same with falling lengths: {measured.exact_share:.1%} of the items are long enough, index {'made' if index else 'not needed'}"
    )
    for name, value in seconds.items():
        print(f"{name:<10} {value:8.2f} s {value / len(users) * 1e3:8.3f} ms a user")


def make_vectors(rng: np.random.Generator, n_users: int, n_items: int) -> tuple[Floats, Floats]:
    """Return users and items of length 1."""
    n_topics = n_items // ITEMS_OF_TOPIC
    topics = unit(rng.normal(size=(n_topics, N_FACTORS)))
    popularity = np.arange(1, n_topics + 1) ** -0.5
    of_item = rng.choice(n_topics, n_items, p=popularity / popularity.sum())
    items = unit(topics[of_item] + noise(rng, n_items, ITEM_NOISE))
    shares = rng.dirichlet(np.full(TOPICS_OF_USER, 0.7), n_users)
    tastes = np.einsum("ut,utf->uf", shares, topics[rng.choice(n_topics, (n_users, TOPICS_OF_USER))])
    return unit(tastes + noise(rng, n_users, USER_NOISE)), items


def noise(rng: np.random.Generator, n_rows: int, length: float) -> Floats:
    """Return random vectors of about that length."""
    return rng.normal(size=(n_rows, N_FACTORS)).astype(np.float32) * np.float32(length / np.sqrt(N_FACTORS))


def unit(vectors: Floats) -> Floats:
    """Return vectors of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_seen(rng: np.random.Generator, n_users: int, n_items: int) -> csr_array:
    """Return some seen items of each user."""
    rows = np.repeat(np.arange(n_users), SEEN)
    seen = csr_array((np.ones(len(rows), np.float32), (rows, rng.integers(0, n_items, len(rows)))), shape=(n_users, n_items))
    seen.sum_duplicates()
    return seen


def inverted_lists(index: ClusterIndex) -> faiss.IndexIVFFlat:
    """Return FAISS' search with the same clusters."""
    centres = faiss.IndexFlatIP(N_FACTORS)
    centres.add(np.ascontiguousarray(index.centres))
    lists = faiss.IndexIVFFlat(centres, N_FACTORS, len(index.centres), faiss.METRIC_INNER_PRODUCT)
    lists.is_trained = True
    lists.add(np.ascontiguousarray(index.clusters.vectors))
    lists.nprobe = index.probes
    faiss.omp_set_num_threads(THREADS)
    return lists


if __name__ == "__main__":
    main()

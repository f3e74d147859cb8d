"""Search large catalogues approximately, only if a sample has shown sufficient recall.

The items' vectors are divided into clusters (FAISS' k-means) and a user looks into the nearest of them, as in FAISS'
inverted lists; but a cluster is multiplied with all users at once who look into it, which is several times as fast as
to go through the clusters user by user. Found items are scored pair by pair as in the exact search, so a score never differs; only a list
may lack an item.

Whether a model gets an index is decided on its fit, by a sample of its users: not where the exact search looks at a
small part of the catalogue anyway (vectors of very different lengths), and not where lists would lack too much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import in_threads
from hybridrec.retrieval.exact import ITEMS_AT_ONCE, USERS_AT_ONCE, Block, Catalogue, Tiles, search, seen_rows
from hybridrec.retrieval.select import empty_lists
from hybridrec.types import NO_ITEM, Floats, Neighbours

FROM_ITEMS = 100_000  # a smaller catalogue is searched exactly in less than half a millisecond a user
RECALL = 0.99  # least share of the exact list that an approximate one must hold
ERRORS_BELOW = 3.0  # standard errors of the sample that the mean must lie above it
MAX_SHARE = 0.125  # most of the catalogue that a search may look at; beyond it little is gained
SAMPLED_USERS, SAMPLED_K = 2_048, 200
FIRST_PROBES = 8
BLOCK_USERS = 4_096  # many, so that a cluster is multiplied with some hundred users at once; some 30 MB of lists for k = 200
CLUSTERS = "clusters"
ROUNDS, TRAINING_VECTORS = 10, 64  # of k-means; vectors a cluster


class Measured(NamedTuple):
    """Result of the sample.

    exact_share: of the catalogue that the exact search looks at. share: that the index looks at, users whom it cannot
    serve included with all of it. recall: of the exact lists, mean over the users; recall_error: its standard error.
    """

    exact_share: float
    share: float = 1.0
    recall: float = 1.0
    recall_error: float = 0.0

    @property
    def good_enough(self) -> bool:
        """Whether the index is worth having."""
        return self.recall - ERRORS_BELOW * self.recall_error >= RECALL and self.share <= MAX_SHARE < self.exact_share


@dataclass(frozen=True, eq=False)
class ClusterIndex:
    """A catalogue in the order of its clusters.

    whole: the catalogue for the exact search. clusters: the same items, cluster c being rows starts[c] to starts[c + 1].
    centres: float32 (n_clusters, n_factors). probes: clusters that a user looks into.
    """

    whole: Catalogue
    clusters: Catalogue
    starts: NDArray[np.int64]
    centres: Floats
    probes: int

    def search(self, users: Floats, seen: csr_array, k: int, threads: int = 1) -> Neighbours:
        """Search like `dot.search`, but a list may lack some of the best; users with short lists are searched for exactly."""
        lists, short = self.search_clusters(users, seen, k, threads)
        exact = search(users[short], self.whole, seen[short], k, threads)
        lists.items[short], lists.scores[short] = exact.items, exact.scores
        return lists

    def search_clusters(self, users: Floats, seen: csr_array, k: int, threads: int = 1) -> tuple[Neighbours, NDArray[np.intp]]:
        """Return lists from the clusters alone, and the users whom these do not give enough."""
        lists, seen_at, tiles = empty_lists(len(users), k), seen_rows(seen, self.clusters), Tiles(self.clusters, k)

        def fill(start: int) -> None:
            rows = slice(start, min(start + BLOCK_USERS, len(users)))
            block = Block.of(np.ascontiguousarray(users[rows]), seen_at[rows], tiles)
            self._look_at_the_near(block)
            block.rank_sure(Neighbours(lists.items[rows], lists.scores[rows]))

        in_threads(fill, range(0, len(users), BLOCK_USERS), threads)
        return lists, np.flatnonzero(lists.items[:, min(k, len(self.whole.numbers)) - 1] == NO_ITEM)

    def _look_at_the_near(self, block: Block) -> None:
        """Search cluster by cluster, each for the users who are near it."""
        rows, clusters = self._near(block.users)
        bounds = np.searchsorted(clusters, np.arange(len(self.starts)))
        for cluster in range(len(self.starts) - 1):
            near = rows[bounds[cluster] : bounds[cluster + 1]]
            for some in range(0, len(near), USERS_AT_ONCE):
                looking = near[some : some + USERS_AT_ONCE]
                vectors, end = block.users[looking], int(self.starts[cluster + 1])
                for first in range(int(self.starts[cluster]), end, ITEMS_AT_ONCE):
                    block.look_at(looking, vectors, first, min(first + ITEMS_AT_ONCE, end))

    def _near(self, users: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return pairs of user and cluster, by cluster."""
        n_clusters = len(self.centres)
        scores = users @ self.centres.T
        near = np.argpartition(scores, n_clusters - self.probes, axis=1)[:, n_clusters - self.probes :]
        order = np.argsort(near.ravel(), kind="stable")
        return order // self.probes, near.ravel()[order]

    def save(self, folder: Path) -> None:
        """Write one .npy file per array."""
        self.clusters.save(folder, CLUSTERS)
        arrays: dict[str, NDArray[Any]] = {"starts": self.starts, "centres": self.centres, "probes": np.array(self.probes)}
        for name, values in arrays.items():
            np.save(folder / f"{CLUSTERS}_{name}.npy", values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, whole: Catalogue) -> ClusterIndex | None:
        """Return the saved index, mapped; None where the fit has none."""
        if not (folder / f"{CLUSTERS}_probes.npy").exists():
            return None
        starts, centres, probes = (
            np.load(folder / f"{CLUSTERS}_{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("starts", "centres", "probes")
        )
        return cls(whole, Catalogue.load(folder, CLUSTERS, len(whole.rows)), starts, centres, int(probes))


def choose_index(users: Floats, catalogue: Catalogue, seen: csr_array, seed: int) -> tuple[ClusterIndex | None, Measured]:
    """Return an index if one is good enough for these users, and what was measured; decided by counts and never by a clock.

    users: float32 (n_users, n_factors), a sample of those to be searched for. seen: csr (n_users, n_items).
    """
    exact = search(users, catalogue, seen, SAMPLED_K)
    measured = Measured(share_looked_at(users, catalogue, exact))
    if measured.exact_share <= MAX_SHARE:
        return None, measured
    index = make_index(catalogue, seed)
    while True:
        lists, short = index.search_clusters(users, seen, SAMPLED_K)
        lists.items[short] = exact.items[short]
        share = index.probes / len(index.centres) + len(short) / len(users)
        recalls = recalls_of(lists, exact)
        error = float(recalls.std() / np.sqrt(len(recalls)))
        measured = Measured(measured.exact_share, share, float(recalls.mean()), error)
        if measured.good_enough:
            return index, measured
        if 2 * index.probes > MAX_SHARE * len(index.centres):
            return None, measured
        index = replace(index, probes=2 * index.probes)


def make_index(catalogue: Catalogue, seed: int) -> ClusterIndex:
    """Return clusters of a catalogue, twice the root of their items many; one thread, so that equal seeds give equal clusters."""
    import faiss

    n_items, n_factors = catalogue.vectors.shape
    n_clusters = 2 ** round(np.log2(2 * np.sqrt(n_items)))
    faiss.omp_set_num_threads(1)
    chosen = np.sort(np.random.default_rng(seed).permutation(n_items)[: TRAINING_VECTORS * n_clusters])
    clustering = faiss.Kmeans(n_factors, n_clusters, niter=ROUNDS, spherical=True, seed=seed, min_points_per_centroid=1)
    clustering.train(np.ascontiguousarray(catalogue.vectors[chosen]))
    nearest = clustering.index.search(np.ascontiguousarray(catalogue.vectors), 1)[1][:, 0]
    order = np.argsort(nearest, kind="stable")
    numbers, vectors = catalogue.numbers[order], np.ascontiguousarray(catalogue.vectors[order])
    clusters = Catalogue.in_order(numbers, vectors, catalogue.lengths[order], len(catalogue.rows))
    starts = np.searchsorted(nearest[order], np.arange(n_clusters + 1))
    return ClusterIndex(catalogue, clusters, starts, np.asarray(clustering.centroids), FIRST_PROBES)


def share_looked_at(users: Floats, catalogue: Catalogue, exact: Neighbours) -> float:
    """Return the share of the catalogue that is long enough to be on a list, mean over the users."""
    reach = np.linalg.norm(users.astype(np.float64), axis=1)
    least = np.where(exact.scores[:, -1] > 0, exact.scores[:, -1], 0) / np.maximum(reach, np.finfo(np.float32).tiny)
    return float(np.mean(np.searchsorted(-catalogue.lengths, -least, side="right")) / len(catalogue.lengths))


def recalls_of(lists: Neighbours, exact: Neighbours) -> NDArray[np.float64]:
    """Return the share of the exact list's items that were found, for each user with such a list; a single 1 without any."""
    n_exact = (exact.items != NO_ITEM).sum(axis=1)
    there = np.isin(_cells(exact.items), _cells(lists.items))
    hits = np.bincount(np.nonzero(exact.items != NO_ITEM)[0][there], minlength=len(n_exact))
    return hits[n_exact > 0] / n_exact[n_exact > 0] if n_exact.any() else np.ones(1)


def _cells(items: NDArray[np.int32]) -> NDArray[np.int64]:
    rows, positions = np.nonzero(items != NO_ITEM)
    return rows.astype(np.int64) << 32 | items[rows, positions]

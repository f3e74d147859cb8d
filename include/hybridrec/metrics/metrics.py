"""Measure the quality of lists; each metric is defined once, here.

A metric is a function and a line in METRICS, CATALOGUE_METRICS (it needs to know of the items) or TABLE_METRICS (all lists together).
The report shows the docstring of the function as its definition; one of the last two tables has the metric's name.
Metrics of a user take `Judged` lists and k and return float64 (n_users,); a user with labels and an empty list counts
0, never drops out. Metrics of a table take the lists of all users together. Higher is better unless it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import in_threads
from hybridrec.candidates.candidate_set import CandidateSet, Ints
from hybridrec.candidates.groups import Floats, Starts, best_first
from hybridrec.types import NO_ITEM, Doubles

T = TypeVar("T")
TOP_SHARE = 0.01  # of the catalogue: the items whose positions are counted by top_share


class Labels(NamedTuple):
    """Items that users chose in a label window, sorted by user, then item.

    users: int32 (n_users,), distinct. starts: pairs starts[u]:starts[u + 1] are of users[u].
    items: int32 (n_pairs,). gains: float32 (n_pairs,), above 0.
    """

    users: Ints
    starts: Starts
    items: Ints
    gains: Floats


class Cells(NamedTuple):
    """The positions of lists that hold a gain, by row, then position; most hold none, so only these are kept.

    rows, positions: int64 (n_cells,), position 0 is the first. gains: float32 (n_cells,), above 0.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    gains: Floats

    def within(self, k: int) -> Cells:
        """Return the cells of the first k positions."""
        return self if not len(self.positions) or self.positions.max() < k else self._take(self.positions < k)

    def of_rows(self, wanted: NDArray[np.bool_]) -> Cells:
        """Return the cells of some rows, with new row numbers."""
        cells = self._take(wanted[self.rows])
        return cells._replace(rows=(np.cumsum(wanted) - 1)[cells.rows])

    def alike(self) -> Cells:
        """Return the cells with a gain of 1 each."""
        return self._replace(gains=np.ones_like(self.gains))

    def _take(self, kept: NDArray[np.bool_]) -> Cells:
        return Cells(self.rows[kept], self.positions[kept], self.gains[kept])


@dataclass(frozen=True)
class Catalogue:
    """Input of metrics beyond accuracy.

    n_users_of_item: users who know each item before the cut, float64 (n_items,). n_users: users with history.
    vectors: content of the items, csr (n_items, n_terms), rows of length 1, or 0 without content.
    """

    n_users_of_item: Doubles
    n_users: int
    vectors: csr_array


class Judged(NamedTuple):
    """Lists beside labels, one row a user with labels.

    items: int32 (n_users, depth), NO_ITEM where the list has ended. hits: where they hold a label. ideal: the same of the
    lists that would be best, each user's labels by falling gain. n_relevant: int32 (n_users,), at least 1.
    """

    items: Ints
    hits: Cells
    ideal: Cells
    n_relevant: Ints


def row_gains(candidates: CandidateSet, labels: Labels) -> Floats:
    """Return the gain of every row of the candidates, 0 if the user did not choose the item; float32 (n_rows,)."""
    label_keys = pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)
    keys = pair_keys(candidates.row_users, candidates.items)
    at = np.minimum(np.searchsorted(label_keys, keys), len(label_keys) - 1)
    return np.where(label_keys[at] == keys, labels.gains[at], 0.0).astype(np.float32)


def judge(candidates: CandidateSet, scores: Floats, labels: Labels, depth: int) -> Judged:
    """Return the best `depth` rows of every user with labels, judged; users without labels are skipped."""
    return judge_items(best_items(candidates, scores, labels.users, depth), labels)


def best_items(candidates: CandidateSet, scores: Floats, users: Ints, depth: int) -> Ints:
    """Return lists of the users, int32 (n_users, depth), NO_ITEM where the list has ended. users: sorted."""
    rows, ranks = best_first(scores, candidates.items, candidates.starts)
    owners = candidates.row_users[rows]
    at = np.minimum(np.searchsorted(users, owners), len(users) - 1)
    listed = (ranks <= depth) & (users[at] == owners)
    items = np.full((len(users), depth), NO_ITEM, dtype=np.int32)
    items[at[listed], ranks[listed] - 1] = candidates.items[rows[listed]]
    return items


def judge_items(items: Ints, labels: Labels, threads: int = 1) -> Judged:
    """Return lists beside labels; row u of items, int32 (n_users, depth), is the list of labels.users[u]. threads: share the users."""
    from hybridrec.metrics import metric_kernels

    whole = np.ascontiguousarray(items)
    rows, positions, label_rows = (np.empty(len(labels.items), dtype=np.int64) for _ in range(3))

    def of_range(first: int, last: int) -> Cells:
        own = slice(labels.starts[first], labels.starts[last])
        starts = labels.starts[first : last + 1]
        n_found = metric_kernels.find_labels(whole[first:last], starts, labels.items, rows[own], positions[own], label_rows[own])
        return Cells(rows[own][:n_found] + first, positions[own][:n_found], labels.gains[label_rows[own][:n_found]])

    hits = Cells(*(np.concatenate(parts) for parts in zip(*_in_ranges(of_range, len(items), threads), strict=True)))
    return Judged(items, hits, ideal_cells(labels, items.shape[1], threads), np.diff(labels.starts).astype(np.int32))


def rows_of(judged: Judged, users: NDArray[np.bool_]) -> Judged:
    """Return the judged lists of some of the users."""
    hits, ideal = judged.hits.of_rows(users), judged.ideal.of_rows(users)
    return Judged(judged.items[users], hits, ideal, judged.n_relevant[users])


def precision(judged: Judged, k: int) -> Doubles:
    """Return the share of the first k positions that hold a relevant item; 0 to 1. Missing positions count as misses.

    Herlocker et al., "Evaluating collaborative filtering recommender systems", TOIS 2004; so are recall and hit.
    """
    return _n_hits(judged, k) / k


def recall(judged: Judged, k: int) -> Doubles:
    """Return the share of the user's relevant items within the first k positions; 0 to min(1, k / relevant)."""
    return _n_hits(judged, k) / judged.n_relevant


def average_precision(judged: Judged, k: int) -> Doubles:
    """Return mean, over the min(k, relevant) items that could be found, of the precision at each one's position; 0 to 1.

    Its mean over users is MAP. Manning, Raghavan and Schuetze, "Introduction to information retrieval", 2008, 8.4.
    """
    rows, positions, _ = judged.hits.within(k)
    n_hits = np.bincount(rows, minlength=len(judged.items))
    earlier = np.arange(len(rows)) - (np.cumsum(n_hits) - n_hits)[rows]  # hits above each one in its list
    total = np.bincount(rows, (earlier + 1) / (positions + 1), minlength=len(judged.items))
    return np.asarray(total / np.minimum(judged.n_relevant, k), dtype=np.float64)


def ndcg(judged: Judged, k: int) -> Doubles:
    """Return gains discounted by 1 / log2(1 + position), as a share of the best order's; 0 to 1. Graded: gain is the label's.

    Jaervelin and Kekaelaeinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    n_users = len(judged.items)
    return _discounted(judged.hits, n_users, k) / _discounted(judged.ideal, n_users, k)


def ndcg_binary(judged: Judged, k: int) -> Doubles:
    """Return NDCG with gain 1 for every relevant item; 0 to 1."""
    return ndcg(judged._replace(hits=judged.hits.alike(), ideal=judged.ideal.alike()), k)


def reciprocal_rank(judged: Judged, k: int) -> Doubles:
    """Return 1 / position of the first relevant item within k, 0 without one; 0 to 1. Its mean over users is MRR.

    Voorhees, "The TREC-8 question answering track report", 1999.
    """
    rows, positions, _ = judged.hits.within(k)
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    reciprocals = np.zeros(len(judged.items))
    reciprocals[rows[first]] = 1 / (positions[first] + 1.0)
    return reciprocals


def hit(judged: Judged, k: int) -> Doubles:
    """Return 1 if a relevant item is within the first k positions, else 0. Its mean over users is the hit rate."""
    return np.minimum(_n_hits(judged, k), 1.0)


METRICS: dict[str, Callable[[Judged, int], Doubles]] = {
    "ndcg": ndcg,
    "ndcg_binary": ndcg_binary,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit,
}


def novelty(items: Ints, n_users_of_item: Doubles, n_users: int, k: int, threads: int = 1) -> Doubles:
    """Return mean over the first k items of -log2(share of users who know the item); 0 to log2(2 n_users); 0 for an empty list.

    An item without users counts as known by half a user. threads: share the lists. Self-information: Zhou et al., "Solving the apparent
    diversity-accuracy dilemma of recommender systems", PNAS 2010.
    """
    from hybridrec.metrics import metric_kernels

    information = -np.log2(np.clip(np.maximum(n_users_of_item, 0.5) / max(n_users, 1), 0.0, 1.0))
    novelties, depth = np.empty(len(items)), min(k, items.shape[1])

    def of_range(first: int, last: int) -> None:
        metric_kernels.mean_of_items(items[first:last], information, depth, novelties[first:last])

    _in_ranges(of_range, len(items), threads)
    return novelties


def diversity(items: Ints, vectors: csr_array, k: int, threads: int = 1) -> Doubles:
    """Return Intra-list diversity: 1 - mean cosine over the pairs of the first k items that have content; 0 to 1.

    0 for a list with fewer than two such items. vectors: csr (n_items, n_terms), none negative, rows of length 1, or 0
    without content. The cosines of an item with all above it add up to its product with their sum, so no pair is ever
    formed. threads: share the lists. Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005.
    """
    from hybridrec.metrics import metric_kernels

    if not (len(items) and vectors.nnz):
        return np.zeros(len(items))
    starts, n_terms, depth = vectors.indptr.astype(np.int64), vectors.shape[1], min(k, items.shape[1])
    cells = np.empty(vectors.nnz, metric_kernels.CELL)
    cells["term"], cells["value"] = vectors.indices, vectors.data
    cosines = np.empty(len(items))

    def of_range(first: int, last: int) -> None:
        metric_kernels.mean_cosines(items[first:last], starts, cells, n_terms, depth, cosines[first:last])

    _in_ranges(of_range, len(items), threads)
    return np.clip(1 - cosines, 0.0, 1.0)


def serendipity(judged: Judged, n_users_of_item: Doubles, k: int) -> Doubles:
    """Return the share of the first k positions with a relevant item, each weighted by how unexpected it is; 0 to precision at k.

    Unexpected is 1 - users who know the item / users who know the best known item: 0 for the item that popularity shows first, 1 for an
    item without users. Relevant and unexpected as in Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems
    by coverage and serendipity", RecSys 2010, with a graded in place of a yes-or-no baseline.
    """
    unexpected = 1 - n_users_of_item / max(float(n_users_of_item.max(initial=0.0)), 1.0)
    rows, positions, _ = judged.hits.within(k)
    total = np.bincount(rows, unexpected[judged.items[rows, positions]], minlength=len(judged.items))
    return np.asarray(total / k, dtype=np.float64)


CATALOGUE_METRICS: dict[str, Callable[[Judged, int, Catalogue, int], Doubles]] = {  # the last argument is threads
    "novelty": lambda judged, k, of, threads: novelty(judged.items, of.n_users_of_item, of.n_users, k, threads),
    "diversity": lambda judged, k, of, threads: diversity(judged.items, of.vectors, k, threads),
    "serendipity": lambda judged, k, of, _: serendipity(judged, of.n_users_of_item, k),
}


def exposure(items: Ints, n_items: int, k: int, threads: int = 1) -> NDArray[np.int64]:
    """Count the lists that show each item within the first k positions, int64 (n_items,). threads: share the lists."""
    from hybridrec.metrics import metric_kernels

    def of_range(first: int, last: int) -> NDArray[np.int64]:
        counts = np.zeros(n_items, dtype=np.int64)
        metric_kernels.count_items(items[first:last], min(k, items.shape[1]), counts)
        return counts

    return np.asarray(sum(_in_ranges(of_range, len(items), threads)))


def coverage(shown: NDArray[np.int64]) -> float:
    """Return the share of the catalogue that is in at least one list; 0 to 1."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: NDArray[np.int64]) -> float:
    """Return the inequality of exposure over the catalogue: 0 all items equal, towards 1 one item has it all; lower is more even.

    Fleder and Hosanagar, "Blockbuster culture's next rise or fall", Management Science 2009.
    """
    total, n = int(shown.sum()), len(shown)
    if not total:
        return 0.0
    ordered = np.sort(shown)
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * total) - (n + 1) / n)


def top_share(shown: NDArray[np.int64], share: float = TOP_SHARE) -> float:
    """Return the share of all positions that the most shown items take, 1 % of the catalogue, at least one; 0 to 1; lower is more even."""
    n_top = max(1, round(len(shown) * share))
    return float(np.sort(shown)[-n_top:].sum() / max(int(shown.sum()), 1))


TABLE_METRICS: dict[str, Callable[[NDArray[np.int64]], float]] = {"coverage": coverage, "gini": gini, "top_share": top_share}


def ideal_cells(labels: Labels, depth: int, threads: int = 1) -> Cells:
    """Return the gains of each user's labels, falling, within the first `depth` positions."""
    from hybridrec.metrics import metric_kernels

    ends = np.concatenate([[0], np.cumsum(np.minimum(np.diff(labels.starts), depth))])
    rows, positions = (np.empty(ends[-1], dtype=np.int64) for _ in range(2))
    gains = np.empty(ends[-1], dtype=np.float32)

    def of_range(first: int, last: int) -> None:
        own = slice(ends[first], ends[last])
        metric_kernels.order_gains(labels.starts[first : last + 1], labels.gains, depth, rows[own], positions[own], gains[own])
        rows[own] += first

    _in_ranges(of_range, len(labels.users), threads)
    return Cells(rows, positions, gains)


def _n_hits(judged: Judged, k: int) -> Doubles:
    return np.bincount(judged.hits.within(k).rows, minlength=len(judged.items)).astype(np.float64)


def _discounted(cells: Cells, n_rows: int, k: int) -> Doubles:
    """Sum over the first k positions of gain / log2(1 + position), float64 (n_rows,)."""
    rows, positions, gains = cells.within(k)
    discounts = 1 / np.log2(np.arange(2.0, k + 2))
    return np.asarray(np.bincount(rows, gains * discounts[positions], minlength=n_rows), dtype=np.float64)


def _in_ranges(of_range: Callable[[int, int], T], n_rows: int, threads: int) -> list[T]:
    """Return the results of consecutive ranges first:last of the rows, one a thread, in their order; `of_range` releases the GIL."""
    borders = [n_rows * number // threads for number in range(threads + 1)]
    return in_threads(lambda number: of_range(borders[number], borders[number + 1]), range(threads), threads)


def pair_keys(users: Ints, items: Ints) -> NDArray[np.int64]:
    """Return one number for each pair, rising with user, then item."""
    return (users.astype(np.int64) << 32) | items.astype(np.int64)

"""The ranked lists of a block of users: what model_ranked keeps of a candidate set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet, FeatureFiles, ItemColumns, build_candidates, load_items
from hybridrec.candidates.groups import Rows, best_first
from hybridrec.policy.armed import load_with_arms
from hybridrec.policy.boost import Boosted, read_boost
from hybridrec.policy.policy import Policy, load_policy
from hybridrec.storage import shared_files
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_USERS = 250  # users ranked at a time: some 30 MB of columns, and small nights still fill two cores


class Depth(NamedTuple):
    """Number of rows of a user's list that are kept, and that the ranker explains."""

    kept: int
    explained: int


def rank_candidate_set(candidates: CandidateSet, policy: Policy, depth: Depth) -> pa.Table:
    """Return model_ranked of the users of a candidate set, sorted by user, then rank."""
    import pyarrow as pa

    scores = policy.score(candidates)
    rows, ranks = best_first(scores, candidates.items, candidates.starts, depth.kept)
    names = np.repeat(policy.list_names(candidates), np.diff(candidates.starts))[rows]
    features: list[list[str]] = [[] for _ in rows]
    explained = np.flatnonzero(ranks <= depth.explained)
    for at, of_row in zip(explained, policy.top_features(candidates, rows[explained]), strict=True):
        features[at] = of_row
    columns = {
        "user_idx": candidates.row_users[rows],
        "item_idx": candidates.items[rows],
        "score": scores[rows],
        "rank": ranks,
        "strategy": pa.array(names, pa.string()),
        "sources": retrievers_by_rank(candidates, rows),
        "top_features": pa.array(features, pa.list_(pa.string())),
    }
    return table("model_ranked").conform(pa.table(columns))


def retrievers_by_rank(candidates: CandidateSet, rows: Rows) -> pa.Array:
    """Return the retrievers that retrieved each row, best rank first, equal ranks by name; list<string>."""
    import pyarrow as pa

    ranks = np.stack([candidates.features[f"rank_{name}"][rows] for name in candidates.retrievers], axis=1)  # (n_rows, n_sources)
    order = np.argsort(np.nan_to_num(ranks, nan=np.inf), axis=1, kind="stable")
    n_sources = (~np.isnan(ranks)).sum(axis=1)
    retrieved = np.arange(ranks.shape[1])[None, :] < n_sources[:, None]
    offsets = np.concatenate([[0], np.cumsum(n_sources)]).astype(np.int32)
    names = pa.array(candidates.retrievers, pa.string()).take(pa.array(order[retrieved]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


@dataclass(frozen=True)
class Ranking:
    """Input of a worker that ranks: paths, no models. draws, boost: of the run, None without."""

    files: FeatureFiles
    policy: Path
    depth: Depth
    draws: Path | None = None
    boost: Path | None = None


def rank_files(files: Iterable[str], ranking: Ranking) -> Iterator[pa.RecordBatch]:
    """Yield model_ranked from files of model_candidates, each sorted by user and with all rows of its users."""
    import pyarrow.parquet as pq

    for file in shared_files.fetch(map(Path, files)):
        with pq.ParquetFile(file) as opened:
            yield from rank_batches(opened.iter_batches(), ranking)


def rank_batches(batches: Iterator[pa.RecordBatch], ranking: Ranking) -> Iterator[pa.RecordBatch]:
    """Yield model_ranked from model_candidates, for mapInArrow; batches are sorted by user and hold all rows of their users.

    Rows are taken BLOCK_USERS users at a time, however the batches are cut, so memory does not grow with the partition.
    """
    items, policy = _prepared(ranking)
    for block in user_blocks(batches):
        ranked = rank_candidate_set(build_candidates(block, ranking.files, items), policy, ranking.depth)
        yield from ranked.combine_chunks().to_batches()


@lru_cache(maxsize=1)
def _prepared(ranking: Ranking) -> tuple[ItemColumns, Policy]:
    """Prepare the shared inputs of all blocks once per worker: committed files are never written again."""
    shared_files.fetch(Path(file) for file in ranking.files.paths)
    folder = shared_files.fetch_folder(ranking.policy)
    policy = load_policy(folder) if ranking.draws is None else load_with_arms(folder, ranking.draws)
    return load_items(ranking.files), policy if ranking.boost is None else Boosted(policy, read_boost(ranking.boost))


def user_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows of users with the same user_idx // BLOCK_USERS at a time."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    block = -1
    for batch in batches:
        part = pa.Table.from_batches([batch])
        blocks = part["user_idx"].to_numpy() // BLOCK_USERS
        for cut in np.unique(blocks):
            first, last = np.searchsorted(blocks, [cut, cut + 1])
            if cut != block and waiting:
                yield pa.concat_tables(waiting)
                waiting = []
            block = int(cut)
            waiting.append(part.slice(first, last - first))
    if waiting:
        yield pa.concat_tables(waiting)

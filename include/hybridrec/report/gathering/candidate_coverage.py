"""Measure each retriever's contribution to the candidates: held-out items that it retrieved, and that only it retrieved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hybridrec.report.gathering.list_figures import batches
from hybridrec.report.list_facts import CandidateCoverage, RetrieverHits

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run


def retriever_hits(run: Run) -> CandidateCoverage:
    """Match the holdout split's candidates with its labels; NotCommitted when there are none."""
    files = run.files("model_candidates", "holdout")
    ranks = [name for name in pq.read_schema(files[0]).names if name.startswith("rank_")]
    labels = _label_keys(run)
    totals = np.zeros((3, len(ranks)), dtype=np.int64)  # retrieved, hits, unique hits
    n_hits = 0
    for batch in batches(run, "model_candidates", ["user_idx", "item_idx", *ranks], "holdout"):
        retrieved = np.column_stack([batch.column(name).is_valid().to_numpy(zero_copy_only=False) for name in ranks])
        hit = np.isin(_keys(batch), labels)  # (n_rows,)
        alone = retrieved.sum(axis=1) == 1
        totals += np.array([retrieved.sum(0), retrieved[hit].sum(0), retrieved[hit & alone].sum(0)])
        n_hits += int(hit.sum())
    retrievers = [RetrieverHits(name.removeprefix("rank_"), *column) for name, column in zip(ranks, totals.T.tolist(), strict=True)]
    return CandidateCoverage(len(labels), n_hits, tuple(sorted(retrievers, key=lambda hits: (-hits.n_hits, hits.source))))


def _label_keys(run: Run) -> NDArray[np.int64]:
    keys = [_keys(batch) for batch in batches(run, "model_labels", ["user_idx", "item_idx"], "holdout")]
    return np.sort(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.int64)


def _keys(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return one number a pair."""
    user, item = (batch.column(name).to_numpy().astype(np.int64) for name in ("user_idx", "item_idx"))
    keys: NDArray[np.int64] = (user << 32) | item
    return keys

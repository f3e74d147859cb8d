"""CandidateSets and candidate tables for tests: three numpy retrievers over a run's interactions, and candidates written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import rank_score, starts_of
from hybridrec.metrics.metrics import Labels
from hybridrec.runs.run import Run

RETRIEVERS = ("content", "item_knn", "popularity")
RANDOM_RETRIEVERS = ("als", "content_text", "item_knn", "popularity")


def candidates_by_hand(
    users: list[int], items: list[int], n_history: list[int] | None = None, **columns: Sequence[float] | np.ndarray
) -> CandidateSet:
    """Return a candidate set of rows sorted by user and item; columns become float32 features."""
    row_users = np.array(users, dtype=np.int32)
    starts = starts_of(row_users)
    distinct = row_users[starts[:-1]]
    history = np.array(n_history or [0] * len(distinct), dtype=np.int32)
    features = {name: np.array(values, dtype=np.float32) for name, values in columns.items()}
    return CandidateSet(distinct, starts, np.array(items, dtype=np.int32), history, features)


def random_candidates(n_users: int, n_rows: int, seed: int = 7) -> CandidateSet:
    """Return four retrievers, a pair scorer, factors and features of n_users with n_rows candidates each; some scores are missing."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(10, 10 + n_users, dtype=np.int32), n_rows)
    starts, n = starts_of(users), n_users * n_rows
    columns = {f"score_{name}": rng.normal(size=n).astype(np.float32) for name in (*RANDOM_RETRIEVERS, "fm")}
    columns["score_als"][rng.random(n) < 0.2] = np.nan
    for name in RANDOM_RETRIEVERS:
        ranks = n_rows * (1 - rank_score(columns[f"score_{name}"], starts)) + 1
        columns[f"rank_{name}"] = np.where(ranks <= n_rows / 2, ranks, np.nan).astype(np.float32)
    columns |= {f"factor_pure_svd_{f}": rng.normal(size=n).astype(np.float32) for f in range(3)}
    columns |= {name: rng.random(n).astype(np.float32) for name in ("item_log_n_users", "affinity_category")}
    n_history = rng.integers(0, 40, size=n_users).astype(np.int32)
    columns["user_log_n_items"] = np.log1p(np.repeat(n_history, n_rows)).astype(np.float32)
    items = np.tile(np.arange(n_rows, dtype=np.int32), n_users)
    columns |= {f"{kind}_none": np.full(n, np.nan, dtype=np.float32) for kind in ("score", "rank")}
    bare = CandidateSet(users[starts[:-1]], starts, items, n_history, columns)
    return bare.without("none")  # makes all columns that are derived from the retrievers'


def hand_labels(rows: list[tuple[int, int, float]]) -> Labels:
    """Return labels from (user, item, gain), sorted by user and item."""
    users = np.array([row[0] for row in rows], dtype=np.int32)
    starts = starts_of(users)
    items = np.array([row[1] for row in rows], dtype=np.int32)
    return Labels(users[starts[:-1]], starts, items, np.array([row[2] for row in rows], dtype=np.float32))


def candidates(run: Run, split: str, top: int = 12, learn_from: str = "") -> pd.DataFrame:
    """Return model_candidates of a split from three dense numpy retrievers; the full split for all users, others for those with labels.

    learn_from: another split whose interactions the retrievers see, which is a leak when that split is later.
    """
    catalogue = run.read("model_items").to_pandas()
    history, learnt = _history(run, split), _history(run, learn_from or split)
    n_users = len(history)
    users = np.arange(n_users) if split == "full" else np.unique(run.read("model_labels", split)["user_idx"].to_numpy())
    scores = {name: matrix[users] for name, matrix in _scores(learnt, catalogue).items()}
    retrieved = {name: _ranks(matrix, history[users] > 0, top) for name, matrix in scores.items()}
    rows, items = np.nonzero(np.any([ranks > 0 for ranks in retrieved.values()], axis=0))
    frame = pd.DataFrame({"user_idx": users[rows].astype(np.int32), "item_idx": items.astype(np.int32)})
    frame["n_sources"] = np.sum([ranks[rows, items] > 0 for ranks in retrieved.values()], axis=0).astype(np.int16)
    for name in RETRIEVERS:
        ranks = retrieved[name][rows, items].astype(np.float32)
        frame[f"score_{name}"] = scores[name][rows, items].astype(np.float32)
        frame[f"rank_{name}"] = np.where(ranks > 0, ranks, np.nan).astype(np.float32)
    return frame


def _history(run: Run, split: str) -> np.ndarray:
    pairs = run.read("model_interactions", split).to_pandas()
    history = np.zeros((run.read("model_users").num_rows, run.read("model_items").num_rows))
    history[pairs.user_idx, pairs.item_idx] = pairs.weight
    return history


def add_candidates(run: Run) -> Run:
    """Commit model_candidates of all of the run's splits."""
    for split in run.splits:
        run.write("model_candidates", pa.Table.from_pandas(candidates(run, split), preserve_index=False), split)
    return run


def _scores(history: np.ndarray, catalogue: pd.DataFrame) -> dict[str, np.ndarray]:
    seen = (history > 0).astype(float)
    lengths = np.linalg.norm(seen, axis=0) + 1e-9
    similarity = seen.T @ seen / np.outer(lengths, lengths)
    np.fill_diagonal(similarity, 0)
    words = sorted({name for names in catalogue.categories for name in names})
    content = np.array([[word in names for word in words] for names in catalogue.categories], dtype=float)
    none = seen.sum(axis=1) == 0
    found = {"item_knn": seen @ similarity, "content": (seen @ content) @ content.T}
    found = {name: np.where(none[:, None], np.nan, matrix) for name, matrix in found.items()}
    return found | {"popularity": np.tile(seen.sum(axis=0), (len(history), 1))}


def _ranks(scores: np.ndarray, seen: np.ndarray, top: int) -> np.ndarray:
    """Return ranks: 1 is best, 0 beyond `top`, for seen items and for users without scores; ties by item."""
    masked = np.where(seen | np.isnan(scores), -np.inf, scores)
    order = np.argsort(-masked, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    return np.where((ranks <= top) & np.isfinite(masked), ranks, 0)

"""Ranked lists and a rule context over a few items, for tests of rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.rules import RuleContext

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)


def context(categories: list[list[str]], k: int = 4, seen: dict[int, list[int]] | None = None, **columns: object) -> RuleContext:
    """Return a context whose items have the given categories; users are those of `seen`, vectors are one-hot by main category."""
    n_items = len(categories)
    values: dict[str, object] = {
        "item_idx": np.arange(n_items, dtype=np.int32),
        "item_id": [f"i{n:02d}" for n in range(n_items)],
        "categories": categories,
        "is_available": [True] * n_items,
        "item_age_days": np.full(n_items, np.nan),
        "released_at": [AS_OF - timedelta(days=400)] * n_items,
    }
    seen = seen if seen is not None else {0: [], 1: []}
    history = np.zeros((len(seen), n_items), dtype=np.float32)
    for row, items in enumerate(seen.values()):
        history[row, items] = 1
    names = sorted({each[0] for each in categories if each})
    vectors = np.array([[float(each[:1] == [name]) for name in names] for each in categories], dtype=np.float32)
    users = np.array(list(seen), dtype=np.int32)
    return RuleContext(pd.DataFrame(values | columns), csr_array(history), users, csr_array(vectors), k, AS_OF)


def ranked(lists: dict[int, dict[int, float]]) -> pd.DataFrame:
    """Return user -> {item: score} as a frame in the order that rules get."""
    rows = [(user, item, score) for user, scores in lists.items() for item, score in scores.items()]
    frame = pd.DataFrame(rows, columns=["user_idx", "item_idx", "score"]).astype(
        {"user_idx": np.int32, "item_idx": np.int32, "score": float}
    )
    return frame.sort_values(["user_idx", "score", "item_idx"], ascending=[True, False, True]).reset_index(drop=True)


def items_of(frame: pd.DataFrame, user: int = 0) -> list[int]:
    """Return a user's items, best first."""
    own = frame[frame.user_idx == user].sort_values(["score", "item_idx"], ascending=[False, True])
    return [int(item) for item in own.item_idx]


def random_world(seed: int, n_users: int = 7, n_items: int = 40) -> tuple[pd.DataFrame, RuleContext]:
    """Return lists of random length over random items: negative scores, ties, users without rows, items without category."""
    rng = np.random.default_rng(seed)
    names = ["Action", "Drama", "Comedy"]
    categories = [[names[c]] if c < 3 else [] for c in rng.integers(0, 4, n_items)]
    seen = {user * 3: sorted(rng.choice(n_items, rng.integers(0, 10), replace=False).tolist()) for user in range(n_users)}
    age = np.where(rng.random(n_items) < 0.3, np.nan, rng.uniform(-5, 90, n_items))
    made = context(categories, k=5, seen=seen, is_available=(rng.random(n_items) < 0.8).tolist(), item_age_days=age)
    lists = {}
    for user in list(seen)[1:]:
        items = rng.choice(n_items, rng.integers(1, 30), replace=False)
        lists[user] = {int(item): float(round(score, 1)) for item, score in zip(items, rng.normal(-2, 3, len(items)), strict=True)}
    return ranked(lists), made

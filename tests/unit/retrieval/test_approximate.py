"""The approximate index: only if it is faster and accurate enough, and then nearly the exact lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.retrieval import approximate
from hybridrec.retrieval.approximate import choose_index, make_index, recalls_of
from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.retrieval.exact import Catalogue, score_dot, search
from hybridrec.types import NO_ITEM, TrainingData, UserBlock

N_ITEMS, N_USERS, N_FACTORS, K = 12_000, 600, 24, 40


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "SAMPLED_K", K)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def in_topics(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, csr_array]:
    """Return users and items around 40 topics, all of length 1; the more noise, the less of it; and seen items."""
    rng = np.random.default_rng(seed)
    topics = unit(rng.normal(size=(40, N_FACTORS)))
    users, items = (unit(topics[rng.integers(40, size=n)] + noise * rng.normal(size=(n, N_FACTORS)) / 5) for n in (N_USERS, N_ITEMS))
    return users, items, csr_array((rng.random((N_USERS, N_ITEMS)) < 0.003).astype(np.float32))


def everything(items: np.ndarray) -> Catalogue:
    return Catalogue.of(items, np.ones(len(items), np.bool_))


def test_lists_from_clusters_are_nearly_the_exact_ones() -> None:
    users, items, seen = in_topics(noise=0.5)
    index, measured = choose_index(users, everything(items), seen, seed=1)
    assert index is not None and measured.exact_share > 0.9 and measured.share <= approximate.MAX_SHARE
    found, exact = index.search(users, seen, K), search(users, everything(items), seen, K)
    assert recalls_of(found, exact).mean() >= 0.99
    rows, places = np.nonzero(found.items != NO_ITEM)
    np.testing.assert_array_equal(found.scores[rows, places], score_dot(users, items, rows, found.items[rows, places]))
    assert (np.diff(found.scores) <= 0).all() and not seen.toarray()[rows, found.items[rows, places]].any()
    threaded = index.search(users, seen, K, threads=2)
    np.testing.assert_array_equal(threaded.items, found.items)


def test_no_index_where_clusters_miss_too_much_or_few_items_are_long() -> None:
    users, items, seen = in_topics(noise=50.0)
    index, measured = choose_index(users, everything(items), seen, seed=1)
    assert index is None and measured.recall < approximate.RECALL
    lengths = np.arange(1, N_ITEMS + 1)[:, None] ** -1.0
    index, measured = choose_index(users, everything((items * lengths).astype(np.float32)), seen, seed=1)
    assert index is None and measured.exact_share < approximate.MAX_SHARE


def test_who_would_get_a_short_list_is_searched_for_exactly() -> None:
    users, items, _ = in_topics(noise=0.5)
    index = make_index(everything(items), seed=1)
    seen = csr_array((np.arange(N_ITEMS) >= 50).astype(np.float32)[None].repeat(3, axis=0))  # 50 items are left
    found, exact = index.search(users[:3], seen, K), search(users[:3], everything(items), seen, K)
    np.testing.assert_array_equal(found.items, exact.items)
    np.testing.assert_array_equal(found.scores, exact.scores)


def test_a_fit_keeps_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items, seen = in_topics(noise=0.5)
    data = TrainingData(seen, np.zeros(seen.nnz), pd.DataFrame(), np.zeros(N_ITEMS, np.float32), pd.DataFrame(), seed=3, threads=1)
    model: DotProductModel[int] = DotProductModel(0)
    model.vectors = Vectors(users, items, np.arange(N_ITEMS) % 7 > 0)
    assert model.build_index(data) == {} and model.index is None  # a small catalogue
    monkeypatch.setattr(approximate, "FROM_ITEMS", 1_000)
    measured = model.build_index(data)
    assert measured["index_used"] == 1 and measured["index_recall"] >= 0.99
    model.save(tmp_path)
    block = UserBlock(np.arange(N_USERS, dtype=np.int32), seen, np.zeros(seen.nnz, np.float32))
    found, loaded = (of.top_k(block, K) for of in (model, DotProductModel.load(tmp_path, 0)))
    np.testing.assert_array_equal(found.items, loaded.items)
    np.testing.assert_array_equal(found.scores, loaded.scores)
    assert (found.items % 7 > 0).all()
    model.build_index(data)
    (again := tmp_path / "again").mkdir()
    model.save(again)
    assert all((again / path.name).read_bytes() == path.read_bytes() for path in tmp_path.glob("*.npy"))

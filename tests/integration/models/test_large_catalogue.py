"""Nothing allocates items x items or users x items: every model, and what is made of lists, in an address space that is too small for it.

A byte a pair of user and item would take 1.2 GB here, a byte a pair of items 3.6 GB; the limit is 1 GiB more than the process
has before. Reserved memory counts as well as used memory, and compiled loops and libraries as well as numpy.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.candidates import candidate_blocks
from hybridrec.dataset.content import SimilarContent, item_vectors
from hybridrec.metrics import metrics
from hybridrec.reranking.similar import similar_items
from hybridrec.retrieval.order import first_unseen
from hybridrec.training.fits import fit_model, load_fit
from hybridrec.types import KnowsSimilarItems, Retriever, TrainingData, UserBlock

N_USERS, N_ITEMS, N_PAIRS = 20_000, 60_000, 60_000
ROOM = 2**30
REFUSED = {"ease": r"models\.ease: [\d,]+ items with events need a dense matrix of [\d.]+ GB"}
K = 20
SHORT = {"max_epochs": 1, "examples_per_epoch": 1_000, "iterations": 2}  # what a model learns does not matter here


@contextmanager
def little_room() -> Iterator[None]:
    """Limit the address space to ROOM more than is used; more is a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@cache
def catalogue() -> pd.DataFrame:
    """Return items of 40 kinds by 30 makers; every description holds the same common words."""
    rng, numbers = np.random.default_rng(3), np.arange(N_ITEMS)
    kind, maker = rng.integers(0, 40, N_ITEMS), rng.integers(0, 30, N_ITEMS)
    return pd.DataFrame(
        {
            "item_idx": numbers,
            "item_id": [f"i{n:05d}" for n in numbers],
            "title": [f"kind{k} number {n}" for n, k in enumerate(kind)],
            "description": [f"a thing of kind{k} by maker{m} for the home" for k, m in zip(kind, maker, strict=True)],
            "categories": [[f"kind{k}", "thing"] for k in kind],
            "brand": [f"maker{m}" for m in maker],
            "provider": "house",
            "price": rng.uniform(1, 100, N_ITEMS).astype(np.float32),
            "is_available": rng.random(N_ITEMS) < 0.9,
            "is_promoted": False,
            "is_consumable": False,
            "released_at": pd.Timestamp("2024-01-01", tz="UTC"),
        }
    )


@cache
def data() -> TrainingData:
    """Return pairs of active users and popular items mostly; a third of the items has none."""
    rng = np.random.default_rng(5)
    users = (N_USERS * rng.random(N_PAIRS) ** 3).astype(np.int64)
    items = rng.permutation(N_ITEMS)[(40_000 * rng.random(N_PAIRS) ** 2).astype(np.int64)]
    cells = np.unique(users * N_ITEMS + items)
    starts = np.searchsorted(cells // N_ITEMS, np.arange(N_USERS + 1)).astype(np.int32)
    matrix = csr_array((np.ones(len(cells), np.float32), (cells % N_ITEMS).astype(np.int32), starts), shape=(N_USERS, N_ITEMS))
    people = pd.DataFrame(
        {
            "user_idx": np.arange(N_USERS),
            "user_id": [f"u{n:05d}" for n in range(N_USERS)],
            "age_years": pd.array(rng.integers(16, 90, N_USERS), dtype="Int32"),
            "gender": rng.choice(["F", "M"], N_USERS),
            "occupation": None,
            "region": [f"region{n}" for n in rng.integers(0, 200, N_USERS)],
        }
    )
    ages, days = np.full(N_ITEMS, 60, np.float32), rng.uniform(0, 60, matrix.nnz)
    return TrainingData(matrix, days, catalogue(), ages, people, seed=1, threads=2, item_vectors=vectors)


def vectors() -> np.ndarray:
    """Return the catalogue's own vectors, some of them all zeros, since not every item has one."""
    rng = np.random.default_rng(6)
    values = rng.normal(size=(N_ITEMS, 32)).astype(np.float32) * (rng.random((N_ITEMS, 1)) < 0.9)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def everybody(repeats: bool) -> UserBlock:
    """Return all users; repeats: nothing of their history is had, so a model of repeats has something to return."""
    empty = (np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(N_USERS + 1, np.int32))
    nothing = csr_array(empty, shape=(N_USERS, N_ITEMS)) if repeats else None
    return UserBlock(np.arange(N_USERS, dtype=np.int32), data().matrix, data().last_event_day.astype(np.float32), nothing)


@pytest.mark.parametrize("allocate", [lambda shape: np.zeros(shape, bool), lambda shape: csr_array(shape, dtype=np.int8).toarray()])
@pytest.mark.parametrize("shape", [(N_USERS, N_ITEMS), (N_ITEMS, N_ITEMS)])
def test_such_an_allocation_is_noticed(allocate: object, shape: tuple[int, int]) -> None:
    with little_room(), pytest.raises(MemoryError):
        allocate(shape)  # type: ignore[operator]


@pytest.mark.parametrize("name", extensions.names("models"))
def test_a_model_of_many_items(name: str, tmp_path: Path) -> None:
    options = {option: value for option, value in SHORT.items() if hasattr(extensions.module("models", name).Config(), option)}
    needs = getattr(extensions.module("models", name), "NEEDS", ())
    known, users = data(), everybody(repeats="repeats" in needs)
    if name in REFUSED:
        with little_room(), pytest.raises(PermanentError, match=REFUSED[name]):
            fit_model(name, known, options, tmp_path)
        return
    with little_room():
        fit_model(name, known, options, tmp_path)
        model = load_fit(name, tmp_path)
        some = users.take(np.arange(0, N_USERS, 10))
        rows, items = np.repeat(np.arange(2_000, dtype=np.int32), 5), (np.arange(10_000, dtype=np.int32) * 13) % N_ITEMS
        assert len(model.score_pairs(some, rows, items)) == 10_000
        if isinstance(model, Retriever):
            found = model.top_k(some, K)
            assert found.items.shape == (2_000, K) and (found.items >= 0).any()
        if isinstance(model, KnowsSimilarItems):
            assert (model.similar(np.arange(4_096, dtype=np.int32), K).items >= 0).any()


def test_everything_beside_the_models(tmp_path: Path) -> None:
    known, users = data(), everybody(repeats=False)
    fit_model("popularity", known, {}, tmp_path)
    with little_room():
        content = SimilarContent(item_vectors(known.items))
        near = content.similar(np.arange(N_ITEMS, dtype=np.int32), K)
        assert similar_items({"content": near}, known.items, K // 2).num_rows == N_ITEMS
        popular = np.bincount(known.matrix.indices, minlength=N_ITEMS).astype(np.float32)
        lists = first_unseen(popular, known.matrix, K)
        candidates = candidate_blocks.candidate_block(
            {"popularity": load_fit("popularity", tmp_path)}, users, np.ones(N_ITEMS, np.bool_), K, K
        )
        assert candidates.num_rows == N_USERS * K
        judged = metrics.judge_items(lists.items, labels())
        assert len(metrics.ndcg(judged, K)) == N_USERS
        assert len(metrics.diversity(lists.items, content.vectors, K)) == len(metrics.novelty(lists.items, popular, N_USERS, K)) == N_USERS  # type: ignore[arg-type]
        assert metrics.exposure(lists.items, N_ITEMS, K).sum() == N_USERS * K


def labels() -> metrics.Labels:
    """Return one item of every user."""
    users = np.arange(N_USERS, dtype=np.int32)
    return metrics.Labels(users, np.arange(N_USERS + 1), users, np.ones(N_USERS, np.float32))

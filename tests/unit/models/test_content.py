"""Content of items, on three that can be checked by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.dataset.content import SimilarContent, item_vectors
from hybridrec.dataset.projection import content_vectors as projected
from hybridrec.models import content_attributes, content_text, content_vectors
from hybridrec.retrieval import approximate
from hybridrec.retrieval.recency import newer_items
from hybridrec.types import NO_ITEM, Neighbours, TrainingData, UserBlock
from tests.support.checkerboard import SIDE, block, checkerboard

NOBODY = pd.DataFrame({"user_idx": [], "user_id": []})


def catalogue(**columns: list[object]) -> pd.DataFrame:
    n_items = len(next(iter(columns.values())))
    none = {"title": None, "description": None, "brand": None, "price": np.nan, "released_at": pd.Series(pd.NaT, range(n_items))}
    return pd.DataFrame({"categories": [[] for _ in range(n_items)], **none} | columns)


def data(items: pd.DataFrame) -> TrainingData:
    matrix = csr_array(np.ones((1, len(items)), dtype=np.float32))
    return TrainingData(matrix, np.zeros(matrix.nnz), items, np.zeros(len(items), np.float32), NOBODY, 1, 1)


def one_user(n_items: int, items: list[int], days: list[float]) -> UserBlock:
    history = csr_array((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, n_items))
    return UserBlock(np.zeros(1, np.int32), history, np.array(days, np.float32))


def test_newer_items_are_counted_by_user_and_equal_days_are_equal() -> None:
    history = csr_array(([1.0] * 6, [0, 1, 2, 3, 0, 2], [0, 4, 4, 6]), shape=(3, 4))
    days = np.array([5, 1, 5, 9, 2, 1], np.float32)
    assert newer_items(UserBlock(np.arange(3, dtype=np.int32), history, days)).tolist() == [1, 0, 1, 3, 1, 0]
    assert newer_items(one_user(4, [], [])).tolist() == []


def test_the_newest_item_counts_most() -> None:
    items = catalogue(categories=[["a"], ["b"], ["a"], ["b"]])
    model = content_attributes.Model(content_attributes.Config(half_after=1.0))
    model.fit(data(items))
    users = one_user(4, [0, 1], [1.0, 30.0])
    found = model.top_k(users, 4)
    assert_array_equal(found.items, [[2, 3, NO_ITEM, NO_ITEM]])
    assert_allclose(found.scores[0, :2], np.array([2, 1]) / np.sqrt(5), rtol=1e-6)  # a weighs 1, b weighs 1/2


def test_a_rare_word_says_more() -> None:
    items = catalogue(title=["common rare", "common other", "Räre thing", None, "common"])
    model = content_text.Model(content_text.Config())
    assert model.fit(data(items)) == {"terms": 4, "items_with_content": 4}
    users = one_user(5, [0], [1.0])
    assert_array_equal(model.top_k(users, 4).items, [[4, 2, 1, NO_ITEM]])
    scores = model.score_pairs(users, np.zeros(3, np.int32), np.array([4, 2, 3], np.int32))
    common, rare, thing = np.log(6 / 4) + 1, np.log(6 / 3) + 1, np.log(6 / 2) + 1
    assert_allclose(scores, [common / np.hypot(common, rare), rare**2 / np.hypot(common, rare) / np.hypot(rare, thing), np.nan], rtol=1e-6)


@pytest.mark.parametrize("module", [content_attributes, content_text])
def test_a_catalogue_without_content_gives_no_answer(module: object) -> None:
    model = module.Model(module.Config())  # type: ignore[attr-defined]
    assert model.fit(data(catalogue(title=[None, None])))["items_with_content"] == 0
    users = one_user(2, [0], [1.0])
    assert (model.top_k(users, 2).items == NO_ITEM).all()
    assert np.isnan(model.score_pairs(users, np.zeros(2, np.int32), np.arange(2, dtype=np.int32))).all()


def test_all_content_counts_for_similar_items() -> None:
    items = catalogue(categories=[["a"], ["a"], ["b"], ["c"]], title=["red car", "green tree", "red car", None])
    vectors = item_vectors(items)
    assert_allclose(vectors.power(2).sum(axis=1), 1, rtol=1e-6)
    assert_array_equal(SimilarContent(vectors).similar(np.array([0, 3], np.int32), 2).items, [[1, 2], [NO_ITEM, NO_ITEM]])


def test_embeddings_need_the_extra() -> None:
    model = content_text.Model(content_text.Config(embeddings="some-model"))
    with pytest.raises(PermanentError, match="pip install sentence-transformers"):
        model.fit(checkerboard())


def test_embeddings_take_the_place_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoder:
        def __init__(self, name: str, device: str, model_kwargs: dict[str, bool]) -> None:
            assert (name, device, model_kwargs) == ("some-model", "cpu", {"use_safetensors": True})  # which cannot hold code

        def encode(self, texts: list[str], show_progress_bar: bool) -> np.ndarray:
            return np.array([[3, 4] if "rocket" in text else [0, 2] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Encoder))
    model = content_text.Model(content_text.Config(embeddings="some-model"))
    model.fit(checkerboard())
    assert_allclose(model.terms.distinct[model.terms.group_of[[0, 1]]].toarray(), [[0.6, 0.8], [0, 1]], rtol=1e-6)  # type: ignore[arg-type]
    assert_array_equal(model.top_k(block(checkerboard(), np.arange(4)), 1).items[:, 0], [0, 1, 2, 3])
    assert len(model.terms.group_of) == SIDE + 1


def test_embeddings_that_cannot_be_loaded_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise OSError("no file named model.safetensors")

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=refuse))
    model = content_text.Model(content_text.Config(embeddings="old-model"))
    with pytest.raises(PermanentError, match=r"old-model cannot be loaded.* pickled weights are not read \(no file named model"):
        model.fit(checkerboard())


def shops_own(vectors: list[list[float]]) -> TrainingData:
    """Return a catalogue without anything but these vectors, of length 1."""
    rows = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=rows, where=lengths > 0)
    return replace(data(catalogue(title=[None] * len(vectors))), item_vectors=lambda: rows)


def test_vectors_of_the_catalogue_are_compared_by_angle() -> None:
    model = content_vectors.Model(content_vectors.Config(half_after=1.0))
    assert model.fit(shops_own([[2, 0], [0, 9], [1, 1], [-3, 0], [0, 0]])) == {"dims": 2, "items_with_content": 4}
    found = model.top_k(one_user(5, [0], [1.0]), 4)
    assert_array_equal(found.items, [[2, 1, 3, NO_ITEM]])  # an item without a vector is never offered
    assert_allclose(found.scores[0, :3], [np.sqrt(0.5), 0, -1], atol=1e-6)
    newest_counts_twice = model.score_pairs(one_user(5, [0, 1], [1.0, 30.0]), np.zeros(3, np.int32), np.array([0, 1, 4], np.int32))
    assert_allclose(newest_counts_twice, [2 / np.sqrt(5), 1 / np.sqrt(5), np.nan], rtol=1e-6)


def test_a_history_without_vectors_gets_no_list() -> None:
    model = content_vectors.Model(content_vectors.Config())
    model.fit(shops_own([[1, 0], [-1, 0], [0, 0]]))
    for history in ([2], [0, 1]):  # no vector, and two that cancel each other out
        users = one_user(3, history, [1.0] * len(history))
        assert (model.top_k(users, 2).items == NO_ITEM).all()
        assert np.isnan(model.score_pairs(users, np.zeros(3, np.int32), np.arange(3, dtype=np.int32))).all()


def test_similar_items_are_those_of_the_nearest_vectors() -> None:
    model = content_vectors.Model(content_vectors.Config())
    model.fit(shops_own([[1, 0], [1, 0.1], [0, 1], [0, 0]]))
    assert_array_equal(model.similar(np.array([0, 3], np.int32), 2).items, [[1, 2], [NO_ITEM, NO_ITEM]])


def test_networks_read_vectors_beside_attributes_and_text() -> None:
    own = shops_own([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert projected(own, 8).shape == (4, 2)
    described = replace(own, items=catalogue(title=["red car", "green tree", "red tree", None]))
    both = projected(described, 2)
    assert_allclose(both[:, :2], projected(replace(described, item_vectors=None), 2), rtol=1e-5)
    assert both.shape == (4, 4) and not both[3].any()


def test_a_large_catalogue_of_vectors_gets_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is asked instead of the exact search, and answers nearly alike."""
    monkeypatch.setattr(approximate, "FROM_ITEMS", 2000)
    monkeypatch.setattr(approximate, "choose_index", lambda users, items, seen, seed: (Index(), Measured(len(users))))
    rng = np.random.default_rng(3)
    world = shops_own(rng.standard_normal((2500, 8)).tolist())
    model = content_vectors.Model(content_vectors.Config())
    model.fit(world)
    assert model.build_index(world) == {"index_n_users": 1, "index_used": 1}
    assert_array_equal(model.top_k(one_user(2500, [0], [1.0]), 1).items, [[7]])


class Measured(NamedTuple):
    """Measurements of an index."""

    n_users: int


class Index:
    """Finds item 7 for everybody."""

    def search(self, users: np.ndarray, seen: csr_array, k: int) -> Neighbours:
        return Neighbours(np.full((len(users), k), 7, np.int32), np.ones((len(users), k), np.float32))

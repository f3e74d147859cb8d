"""Content of items, on three that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.dataset.content import SimilarContent, item_vectors
from hybridrec.models import content_attributes, content_text
from hybridrec.retrieval.recency import newer_items
from hybridrec.types import NO_ITEM, TrainingData, UserBlock
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
        def __init__(self, name: str, device: str) -> None:
            assert (name, device) == ("some-model", "cpu")

        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[3, 4] if "rocket" in text else [0, 2] for text in texts])

    import sys
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Encoder))
    model = content_text.Model(content_text.Config(embeddings="some-model"))
    model.fit(checkerboard())
    assert_allclose(model.terms.distinct[model.terms.group_of[[0, 1]]].toarray(), [[0.6, 0.8], [0, 1]], rtol=1e-6)  # type: ignore[arg-type]
    assert_array_equal(model.top_k(block(checkerboard(), np.arange(4)), 1).items[:, 0], [0, 1, 2, 3])
    assert len(model.terms.group_of) == SIDE + 1

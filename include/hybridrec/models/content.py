"""Items that resemble those of the history by their attributes and their text.

Lops, de Gemmis and Semeraro, "Content-based recommender systems", Recommender Systems Handbook, 2011: TF-IDF
vectors of the items, a user profile that is the weighted mean of the vectors of the items used, cosine. Items
without any event take part, so this is how a new item is found on its first night.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from hybridrec.models import Floats, Ints, Neighbours, TrainingData, UserBlock
from hybridrec.retrieval.sparse import as_csr, empty_csr, load_csr, one_hot, save_csr, score_sparse, top_k_sparse, without_columns

if TYPE_CHECKING:
    import pandas as pd

DOC = "Items whose categories, brand, price and text resemble the history."
BECAUSE = "it resembles what you chose"
BECAUSE_OF = "it resembles {title}: {categories}"
REQUIRED = False


@dataclass(frozen=True)
class Config:
    """Weights of the parts of an item's vector; 0 leaves a part out. max_terms: words of the texts' vocabulary."""

    categories: float = 1.0
    brand: float = 0.5
    price: float = 0.25
    period: float = 0.25
    text: float = 0.5
    price_buckets: int = 10
    period_years: int = 5
    max_terms: int = 20_000


class Model:
    """Item vectors of length 1; a profile is the weighted mean of the history's vectors."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.vectors = empty_csr()
        self.by_term = empty_csr()

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Build the item vectors from the catalogue; events play no part."""
        self.vectors = item_vectors(data.items, self.config)
        self.by_term = self.vectors.T.tocsr()
        return {"terms": float(self.vectors.shape[1]), "items_with_content": float(np.count_nonzero(np.diff(self.vectors.indptr)))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items of the highest cosine with the profile."""
        return top_k_sparse(self._profiles(users), self.by_term, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Cosines; NaN without history or for an item without content."""
        scores = score_sparse(self._profiles(users), self.by_term, rows, items)
        described = np.diff(self.vectors.indptr)[items] > 0
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known & described, scores, np.float32(np.nan))

    def similar(self, items: Ints, k: int) -> Neighbours:
        """The k most alike items of each given item, best first."""
        themselves = one_hot(items, self.vectors.shape[0])
        return top_k_sparse(self.vectors[items], self.by_term, themselves, k)

    def save(self, folder: Path) -> None:
        """The sparse matrix of item vectors and its transpose."""
        save_csr(self.vectors, folder, "vectors")
        save_csr(self.by_term, folder, "by_term")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """The saved vectors, mapped."""
        model = cls(config)
        model.vectors, model.by_term = load_csr(folder, "vectors"), load_csr(folder, "by_term")
        return model

    def _profiles(self, users: UserBlock) -> csr_array:
        return unit_rows(users.history @ self.vectors)  # (n_users, n_terms)


def item_vectors(items: pd.DataFrame, config: Config | None = None) -> csr_array:
    """Content vectors of the items, csr float32 (n_items, n_terms), rows of length 1, or 0 without any content.

    items: model_items, row number = item_idx.
    """
    config = config or Config()
    parts = [
        (config.categories, _indicators([list(labels) for labels in items["categories"]])),
        (config.brand, _indicators([_as_label(brand) for brand in items["brand"]])),
        (config.price, _indicators(_price_labels(items["price"], config.price_buckets))),
        (config.period, _indicators(_period_labels(items["released_at"], config.period_years))),
        (config.text, _text(items, config.max_terms)),
    ]
    return unit_rows(as_csr(hstack([weight * part for weight, part in parts if weight > 0], format="csr")))


def unit_rows(matrix: csr_array) -> csr_array:
    """The rows scaled to length 1; a row of zeros stays."""
    norms = np.sqrt(matrix.power(2).sum(axis=1))
    scale = np.repeat(1 / np.where(norms > 0, norms, 1), np.diff(matrix.indptr))
    return csr_array(((matrix.data * scale).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _indicators(labels: list[list[str]]) -> csr_array:
    """Lists of labels as weighted indicators; a rare label weighs more, and a row has length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(labels):
        return without_columns(len(labels))
    return as_csr(TfidfVectorizer(analyzer=list, sublinear_tf=True, dtype=np.float32).fit_transform(labels))


def _as_label(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def _price_labels(prices: pd.Series, n_buckets: int) -> list[list[str]]:
    known = prices.dropna().to_numpy()
    edges = np.unique(np.quantile(known, np.linspace(0, 1, n_buckets + 1)[1:-1])) if len(known) else known
    return [[] if np.isnan(price) else [str(np.searchsorted(edges, price))] for price in prices.to_numpy(np.float64)]


def _period_labels(released: pd.Series, years: int) -> list[list[str]]:
    return [[] if np.isnan(year) else [str(int(year) // years)] for year in released.dt.year.to_numpy(np.float64)]


def _text(items: pd.DataFrame, max_terms: int) -> csr_array:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = items["title"].fillna("") + " " + items["description"].fillna("")
    words = TfidfVectorizer(max_features=max_terms, strip_accents="unicode", sublinear_tf=True, dtype=np.float32)
    analyse = words.build_analyzer()
    if not any(analyse(text) for text in texts):
        return without_columns(len(items))
    return as_csr(words.fit_transform(texts))

"""Describe an item without its events, as sparse vectors: attributes and text.

Lops, de Gemmis and Semeraro, "Content-based recommender systems", Recommender Systems Handbook, 2011: TF-IDF weights,
so a rare category or word says more than a common one, and a cosine between what they make up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from hybridrec.retrieval.sparse import as_csr, unit_rows, without_columns
from hybridrec.retrieval.terms import Terms
from hybridrec.types import Ints, Neighbours

if TYPE_CHECKING:
    import pandas as pd

TEXT_WEIGHT = 0.5  # of the text relative to the attributes, if both make up one vector
MAX_TERMS = 20_000  # words of the texts' vocabulary, the most frequent ones


@dataclass(frozen=True)
class Attributes:
    """Weights of the attributes in an item's vector; 0 leaves one out.

    categories: weight of the categories.
    brand: weight of the brand.
    price: weight of the price.
    period: weight of the time of release.
    price_buckets: buckets of equal size that prices are sorted into.
    period_years: years of one bucket of release times.
    """

    categories: float = 1.0
    brand: float = 0.5
    price: float = 0.25
    period: float = 0.25
    price_buckets: int = 10
    period_years: int = 5


class SimilarContent:
    """Items that are alike in all of their content."""

    def __init__(self, vectors: csr_array) -> None:
        self.vectors, self.terms = vectors, Terms.of(vectors)

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k most alike other items of each given item, best first."""
        return self.terms.similar(items, k)


def item_vectors(items: pd.DataFrame) -> csr_array:
    """Return attributes and text of the items in one vector each, csr float32 (n_items, n_terms), rows of length 1.

    items: model_items, row number = item_idx. An item without any content has an empty row.
    """
    return side_by_side([(1.0, attribute_vectors(items, Attributes())), (TEXT_WEIGHT, text_vectors(items, MAX_TERMS))])


def attribute_vectors(items: pd.DataFrame, weights: Attributes) -> csr_array:
    """Return categories, brand, price and time of release, csr float32 (n_items, n_labels), rows of length 1, or 0 without any."""
    parts = [
        (weights.categories, _indicators([list(labels) for labels in items["categories"]])),
        (weights.brand, _indicators([_as_label(brand) for brand in items["brand"]])),
        (weights.price, _indicators(price_labels(items["price"], weights.price_buckets))),
        (weights.period, _indicators(_period_labels(items["released_at"], weights.period_years))),
    ]
    return side_by_side(parts)


def text_vectors(items: pd.DataFrame, max_terms: int) -> csr_array:
    """Return words of title and description, csr float32 (n_items, n_words), rows of length 1, or 0 without any."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(max_features=max_terms, strip_accents="unicode", sublinear_tf=True, dtype=np.float32)
    analyse = words.build_analyzer()
    documents = texts(items)
    if not any(analyse(text) for text in documents):
        return without_columns(len(items))
    return as_csr(words.fit_transform(documents))


def texts(items: pd.DataFrame) -> pd.Series:
    """Return the title and description of each item; empty without either."""
    joined: pd.Series = items["title"].fillna("") + " " + items["description"].fillna("")
    return joined.str.strip()


def side_by_side(parts: list[tuple[float, csr_array]]) -> csr_array:
    """Return weighted parts of the items' vectors as one, rows of length 1, or 0 without any content."""
    return unit_rows(as_csr(hstack([weight * part for weight, part in parts if weight > 0], format="csr")))


def price_labels(prices: pd.Series, n_buckets: int) -> list[list[str]]:
    """Return the bucket of each price, buckets of about as many items each; no label without a price."""
    known = prices.dropna().to_numpy()
    edges = np.unique(np.quantile(known, np.linspace(0, 1, n_buckets + 1)[1:-1])) if len(known) else known
    return [[] if np.isnan(price) else [str(np.searchsorted(edges, price))] for price in prices.to_numpy(np.float64)]


def _period_labels(released: pd.Series, years: int) -> list[list[str]]:
    return [[] if np.isnan(year) else [str(int(year) // years)] for year in released.dt.year.to_numpy(np.float64)]


def _as_label(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def _indicators(labels: list[list[str]]) -> csr_array:
    """Return lists of labels as weighted indicators; a rare label weighs more, and a row has length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(labels):
        return without_columns(len(labels))
    return as_csr(TfidfVectorizer(analyzer=list, sublinear_tf=True, dtype=np.float32).fit_transform(labels))

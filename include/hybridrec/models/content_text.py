"""Items whose title and description resemble those of the history.

Pazzani and Billsus, "Content-based recommendation systems", The Adaptive Web, 2007: TF-IDF vectors of the words, a
profile that is the weighted mean of the vectors of the items used, cosine. With `embeddings` the vectors are those of a
sentence transformer (Reimers and Gurevych, EMNLP 2019), which also finds what is said in other words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.dataset.content import MAX_TERMS, text_vectors, texts
from hybridrec.retrieval.profile import ProfileModel
from hybridrec.retrieval.sparse import as_csr, unit_rows
from hybridrec.types import Log, TrainingData

if TYPE_CHECKING:
    import pandas as pd

DOC = "Items whose title and description resemble those of the history."
BECAUSE = "its description is like those of what you chose"
BECAUSE_OF = "its description is like that of {title}"
REQUIRED = False
SEARCH = {"half_after": Log(0.5, 50.0)}


@dataclass(frozen=True)
class Config:
    """Options.

    max_terms: words of the vocabulary, the most frequent ones.
    embeddings: name or folder of a sentence-transformers model to use instead of words (the extra `text`); its vectors are dense, so
    lists take some ten times as long.
    half_after: an item of the history counts half after this number of newer ones.
    """

    max_terms: int = MAX_TERMS
    embeddings: str = ""
    half_after: float = 2.0


class Model(ProfileModel[Config]):
    """Text vectors of the items; events play no part in them."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Weigh the words, or embed the sentences."""
        if self.config.embeddings:
            return self.describe(sentence_vectors(data.items, self.config.embeddings))
        return self.describe(text_vectors(data.items, self.config.max_terms))


def sentence_vectors(items: pd.DataFrame, name: str) -> csr_array:
    """Return sentence embeddings of the items' texts, csr float32 (n_items, n_dims), rows of length 1, or 0 without any text."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise PermanentError(
            "[models.content_text]: embeddings needs a package that is missing: pip install sentence-transformers (the extra 'text')"
        ) from error
    try:
        # a pickle could run code, so weights are read as safetensors or not at all
        encoder = SentenceTransformer(name, device="cpu", model_kwargs={"use_safetensors": True})
    except OSError as error:
        raise PermanentError(
            f"[models.content_text] embeddings: {name} cannot be loaded: it is neither a folder nor a model that can be fetched, or it "
            f"has no model.safetensors, and pickled weights are not read ({error})"
        ) from error
    sentences = texts(items)
    vectors = np.asarray(encoder.encode(sentences.tolist(), show_progress_bar=False), dtype=np.float32)
    vectors[(sentences == "").to_numpy()] = 0
    return unit_rows(as_csr(vectors))

"""Write the sentence of an entry: why the item is in the list, for a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base import extensions
from hybridrec.retrieval.sparse import in_history
from hybridrec.types import NO_ITEM, Ints

if TYPE_CHECKING:
    import pandas as pd

NO_MODEL = "it fits your history"  # a retriever whose file is gone since the run was opened
NEIGHBOURS_OF = ("item_knn", "content")  # whose neighbours say which history item stands out for a model that has none itself
CONTENT_FAMILY = "content_"  # retrievers of this name speak of likeness, so only neighbours by content make their sentence true
MAX_SHARED = 2


def nearest_of_history(neighbours: Ints, seen: csr_array, rows: NDArray[np.int64], items: Ints) -> NDArray[np.int64]:
    """Find for each pair (row of `seen`, item) the nearest item of that history, NO_ITEM if none is near."""
    near = neighbours[items].astype(np.int64)  # (n_pairs, n_neighbours)
    had = in_history(seen, rows[:, None], near) & (near != NO_ITEM)
    first = had.argmax(axis=1)
    pairs = np.arange(len(items))
    return np.where(had[pairs, first], near[pairs, first], NO_ITEM)


def sentences(
    retrievers: Sequence[str], rows: NDArray[np.int64], items: Ints, seen: csr_array, catalogue: pd.DataFrame, neighbours: dict[str, Ints]
) -> list[str]:
    """Return one sentence an entry; retrievers: the best retriever of each, rows: its user's row in `seen`."""
    written = np.full(len(retrievers), "", dtype=object)
    names = np.array(retrievers, dtype=object)
    for retriever in sorted(set(retrievers)):
        at = np.flatnonzero(names == retriever)
        general, special = _templates(retriever)
        written[at] = general
        choices = ("content",) if retriever.startswith(CONTENT_FAMILY) else (retriever, *NEIGHBOURS_OF)
        near = next((neighbours[name] for name in choices if name in neighbours), None)
        if special and near is not None:
            nearest = nearest_of_history(near, seen, rows[at], items[at])
            write = _writer(special, catalogue)
            for index in np.flatnonzero(nearest != NO_ITEM):
                written[at[index]] = write(int(items[at[index]]), int(nearest[index])) or general
    return [str(text) for text in written]


def _templates(retriever: str) -> tuple[str, str]:
    if retriever not in extensions.names("models"):
        return NO_MODEL, ""
    module = extensions.module("models", retriever)
    return module.BECAUSE, getattr(module, "BECAUSE_OF", "")


def _writer(template: str, catalogue: pd.DataFrame) -> Callable[[int, int], str]:
    """Return the writer of the sentence about an item and a near history item; empty if shared categories are missing."""
    titles = catalogue["title"].fillna(catalogue["item_id"]).to_numpy()
    categories = catalogue["categories"].to_numpy()

    def write(item: int, near: int) -> str:
        shared = [name for name in categories[item] if name in set(categories[near])][:MAX_SHARED]
        if "{categories}" in template and not shared:
            return ""
        return template.format(title=titles[near], categories=" and ".join(shared))

    return write

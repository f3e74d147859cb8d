"""Users and items as integer codes, one a field, and as bags of codes where a field has many values.

Code 0 is "unknown" in every field, and its embedding is zero; any other code belongs to one field only, so a network
needs one table of embeddings. A field with the same value for all users is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.select import row_numbers
from hybridrec.retrieval.sparse import load_csr, save_csr
from hybridrec.types import Floats, Ints, TrainingData

if TYPE_CHECKING:
    import pandas as pd

HISTORY = "history"  # the bag of a user's items; it comes with the question, not with the user
MAX_IDS = 50_000  # users and items with an embedding of their own: the most active ones
N_BUCKETS = 8  # of a quantity: equally many known values in each
CONTEXT = ("hour", "weekday")  # of the pair's newest event, where the calendar is known
HOURS, WEEKDAYS = 24, 7


class Layout(NamedTuple):
    """Shape of a network's input.

    names: fields of one code each. n_codes: codes of all fields together, 0 included. bags: number of values by name.
    n_dense: numbers that describe a row besides.
    """

    names: tuple[str, ...]
    n_codes: int
    bags: Mapping[str, int]
    n_dense: int = 0

    @property
    def n_fields(self) -> int:
        """Fields of one code and bags."""
        return len(self.names) + len(self.bags)


@dataclass(frozen=True)
class FieldTable:
    """Users or items, one a row.

    codes: int32 (n_rows, n_fields), 0 unknown. bags: csr float32 (n_rows, n_values) by name, each row sums to 1 or is
    empty. dense: float32 (n_rows, n_dense).
    """

    layout: Layout
    codes: Ints
    bags: Mapping[str, csr_array]
    dense: Floats

    def take(self, rows: NDArray[np.integer]) -> FieldTable:
        """Return some of the rows, in the order given."""
        bags = {name: bag[rows] for name, bag in self.bags.items()}
        return FieldTable(self.layout, self.codes[rows], bags, self.dense[rows])

    def only(self, names: tuple[str, ...]) -> FieldTable:
        """Return the table without the fields that are not named; dense numbers are a field called `content`."""
        kept = [index for index, name in enumerate(self.layout.names) if name in names]
        bags = {name: bag for name, bag in self.bags.items() if name in names}
        dense = self.dense if "content" in names else self.dense[:, :0]
        sizes = {name: size for name, size in self.layout.bags.items() if name in names}
        layout = Layout(tuple(self.layout.names[index] for index in kept), self.layout.n_codes, sizes, dense.shape[1])
        return FieldTable(layout, np.ascontiguousarray(self.codes[:, kept]), bags, dense)

    def with_bag(self, name: str, bag: csr_array) -> FieldTable:
        """Return the table with one more bag."""
        layout = self.layout._replace(bags={**self.layout.bags, name: bag.shape[1]})
        return replace(self, layout=layout, bags={**self.bags, name: bag})

    def with_codes(self, name: str, codes: Ints) -> FieldTable:
        """Return the table with other codes in one field, if it has that field."""
        if name not in self.layout.names:
            return self
        changed = self.codes.copy()
        changed[:, self.layout.names.index(name)] = codes
        return replace(self, codes=changed)

    def described(self) -> NDArray[np.bool_]:
        """Return whether anything is known of a row, bool (n_rows,)."""
        parts = [self.codes.any(axis=1), self.dense.any(axis=1), *(np.diff(bag.indptr) > 0 for bag in self.bags.values())]
        is_described: NDArray[np.bool_] = np.logical_or.reduce(parts)
        return is_described

    def save(self, folder: Path, name: str) -> None:
        """Write arrays as .npy files and the layout as JSON."""
        (folder / f"{name}.json").write_text(json.dumps(self.layout._asdict()))
        np.save(folder / f"{name}.codes.npy", self.codes, allow_pickle=False)
        np.save(folder / f"{name}.dense.npy", self.dense, allow_pickle=False)
        for bag in self.bags:
            save_csr(self.bags[bag], folder, f"{name}.{bag}")

    @classmethod
    def load(cls, folder: Path, name: str) -> FieldTable:
        """Return the saved table; its arrays are mapped."""
        saved = json.loads((folder / f"{name}.json").read_text())
        layout = Layout(tuple(saved["names"]), saved["n_codes"], saved["bags"], saved["n_dense"])
        codes, dense = (np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("codes", "dense"))
        return cls(layout, codes, {bag: load_csr(folder, f"{name}.{bag}") for bag in layout.bags}, dense)


class Context(NamedTuple):
    """Codes of the time of a pair's newest event, counted back from the cut: the same hour has the same code.

    firsts: the code of hour or weekday 0, by the name of the field.
    """

    firsts: Mapping[str, int]

    def codes(self, days: NDArray[np.float64]) -> dict[str, Ints]:
        """Return codes by field of pairs of this age."""
        raw = {"hour": (days % 1 * HOURS).astype(np.int32), "weekday": (days % WEEKDAYS).astype(np.int32)}
        return {name: raw[name] + np.int32(first) for name, first in self.firsts.items()}


def user_fields(data: TrainingData) -> FieldTable:
    """Return the users of a split. Their histories are no part of it: see `newest` and FieldTable.with_bag.

    If times are known there is room for the context: the fields of CONTEXT, unknown until they are filled in.
    """
    people, n_items = data.users, np.diff(data.matrix.indptr)
    columns = {
        "user": id_codes(n_items),
        "age": bucket_codes(people["age_years"]),
        "gender": label_codes(people["gender"]),
        "occupation": label_codes(people["occupation"]),
        "region": label_codes(people["region"]),
        "history_length": count_codes(n_items),
    }
    table = _table(columns)
    return _with_room(table, {"hour": HOURS, "weekday": WEEKDAYS}) if data.split == "time" else table


def item_fields(data: TrainingData, dense: Floats) -> FieldTable:
    """Return the items of a split. dense: float32 (n_items, n_dense), content vectors or no columns."""
    items, n_users = data.items, np.bincount(data.matrix.indices, minlength=data.matrix.shape[1])
    columns = {
        "item": id_codes(n_users),
        "brand": label_codes(items["brand"]),
        "provider": label_codes(items["provider"]),
        "price": bucket_codes(items["price"]),
        "period": bucket_codes(items["released_at"].dt.year),
        "popularity": count_codes(n_users),
    }
    table = replace(_table(columns), dense=dense)
    table = replace(table, layout=table.layout._replace(n_dense=dense.shape[1]))
    categories = label_bags(items["categories"])
    return table.with_bag("categories", categories) if _differs(categories) else table


def context_of(users: FieldTable) -> Context:
    """Return the positions of the context's codes in the users' fields."""
    n_context = {"hour": HOURS, "weekday": WEEKDAYS}
    firsts, end = {}, users.layout.n_codes
    for name in reversed([name for name in CONTEXT if name in users.layout.names]):
        end -= n_context[name]
        firsts[name] = end
    return Context(firsts)


def newest(matrix: csr_array, days: NDArray[np.floating], longest: int) -> csr_array:
    """Return the newest items of each user as a bag of at most `longest`, rows sum to 1. days: age of each stored pair.

    Among equally old ones the choice is arbitrary but fixed, not the lowest numbers.
    """
    rows, lengths = row_numbers(matrix), np.diff(matrix.indptr)
    kept = np.arange(matrix.nnz)
    if lengths.max(initial=0) > longest:
        shuffled = (matrix.indices.astype(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(2**32)
        order = np.lexsort((shuffled, np.asarray(days, np.float32), rows))
        kept = np.sort(order[np.arange(matrix.nnz) - matrix.indptr[rows] < longest])
    sizes = np.minimum(lengths, longest)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return csr_array((np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32), matrix.indices[kept], ends), shape=matrix.shape)


def with_history(users: FieldTable, bag: csr_array, items: FieldTable) -> FieldTable:
    """Return users with what they chose, a bag of items each, and the mean of its dense numbers."""
    table = users.with_bag(HISTORY, bag)
    layout = table.layout._replace(n_dense=items.layout.n_dense)
    return replace(table, layout=layout, dense=(bag @ items.dense).astype(np.float32))


def without(bag: csr_array, values: NDArray[np.integer]) -> csr_array:
    """Return the bag without one value a row; an example's target must not be part of its input."""
    target = bag.indices == np.repeat(values, np.diff(bag.indptr))
    left = np.where(target, np.float32(0), bag.data)
    totals = np.bincount(row_numbers(bag), left, minlength=bag.shape[0])
    scale = np.repeat(1 / np.where(totals > 0, totals, 1), np.diff(bag.indptr))
    return csr_array(((left * scale).astype(np.float32), bag.indices, bag.indptr), shape=bag.shape)


def id_codes(n_events: NDArray[np.integer]) -> Ints:
    """Return a separate code for each row with events; with more than MAX_IDS, for the most active."""
    order = np.lexsort((np.arange(len(n_events)), -n_events))[:MAX_IDS]
    chosen = np.sort(order[n_events[order] > 0])
    codes = np.zeros(len(n_events), dtype=np.int32)
    codes[chosen] = np.arange(1, len(chosen) + 1)
    return codes


def label_codes(labels: pd.Series) -> Ints:
    """Return codes of labels in their order; 0 for a missing or empty one."""
    import pandas as pd

    known = labels[labels.notna() & (labels != "")]
    codes = np.zeros(len(labels), dtype=np.int32)
    codes[known.index] = pd.factorize(known, sort=True)[0] + 1
    return codes


def bucket_codes(values: pd.Series) -> Ints:
    """Return codes of numbers by quantile; 0 for a missing one."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, N_BUCKETS + 1)[1:-1], method="higher")) if known.any() else numbers[:0]
    codes: Ints = np.where(known, np.searchsorted(edges, numbers, side="right") + 1, 0).astype(np.int32)
    return codes


def count_codes(counts: NDArray[np.integer]) -> Ints:
    """Return codes of counts by powers of two: 1, 2-3, 4-7, ...; 0 stays 0."""
    return np.frexp(counts.astype(np.float64))[1].astype(np.int32)


def label_bags(labels: pd.Series) -> csr_array:
    """Return lists of labels as a bag, rows sum to 1 or are empty."""
    import pandas as pd

    lists = [sorted(set(of_row)) if of_row is not None else [] for of_row in labels]
    sizes = np.array([len(of_row) for of_row in lists], dtype=np.int32)
    codes, names = pd.factorize(np.array([label for of_row in lists for label in of_row], dtype=object), sort=True)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    shares = np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32)
    return csr_array((shares, codes.astype(np.int32), ends), shape=(len(lists), len(names)))


def _table(columns: Mapping[str, Ints]) -> FieldTable:
    """Return columns of codes that each start at 1 as one table with codes of their own; constant columns are dropped."""
    kept = {name: column for name, column in columns.items() if len(np.unique(column)) > 1}
    n_rows = len(next(iter(columns.values())))
    codes, n_codes = np.zeros((n_rows, len(kept)), dtype=np.int32), 1
    for index, column in enumerate(kept.values()):
        codes[:, index] = np.where(column > 0, column + n_codes - 1, 0)
        n_codes += int(column.max())
    return FieldTable(Layout(tuple(kept), n_codes, {}), codes, {}, np.zeros((n_rows, 0), dtype=np.float32))


def _with_room(table: FieldTable, sizes: Mapping[str, int]) -> FieldTable:
    layout = table.layout._replace(names=(*table.layout.names, *sizes), n_codes=table.layout.n_codes + sum(sizes.values()))
    empty = np.zeros((len(table.codes), len(sizes)), dtype=np.int32)
    return replace(table, layout=layout, codes=np.hstack([table.codes, empty]))


def _differs(bag: csr_array) -> bool:
    """Return whether the rows are not all the same."""
    filled = np.diff(bag.indptr)
    return bag.nnz > 0 and (len(np.unique(filled)) > 1 or len(np.unique(bag.indices)) > filled[0])

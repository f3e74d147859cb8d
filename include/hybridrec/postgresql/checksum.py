"""One number for the rows of a table: the server computes it from what it stores, we from what we send.

It is the sum over the rows of hash_record_extended, whatever their order, so a lost or doubled row shows. A row's values are
hashed with the hash of its key as seed: also two rows that have exchanged a value show. docs/decisions/0012 says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.postgresql.version_tables import quoted
from hybridrec.tables import Table
from hybridrec.versions.content_hash import utf8_of

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.postgresql.kernels import Hashes

SEED = 1  # not 0: with a seed the hash of the number 0 is not 0, which is that of a null
MODULUS = 2**64
EPOCH_DAYS = 10_957  # PostgreSQL counts from 2000-01-01
EPOCH_MICROSECONDS = EPOCH_DAYS * 86_400_000_000


class TableChecksum:
    """Checksum of the rows so far, below 2 ** 64."""

    def __init__(self, definition: Table) -> None:
        self._definition = definition
        self.value = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows that have the definition's types."""
        key = [batch.column(name) for name in self._definition.key]
        seeds = _row_hashes(key, np.full(batch.num_rows, SEED, np.uint64))
        rows = [batch.column(name) for name in self._definition.column_names]
        self.value = (self.value + int(_row_hashes(rows, seeds).sum())) % MODULUS


def stored_sum(table: str, definition: Table) -> str:
    """Return the query for a table's number of rows and the sum of their hashes, which is to be taken modulo MODULUS."""
    key = ", ".join(map(quoted, definition.key))
    row_hash = f"hash_record_extended(stored_row, hash_record_extended(ROW({key}), {SEED}))"
    return f"SELECT count(*), COALESCE(sum({row_hash}), 0) FROM {table} AS stored_row"  # noqa: S608


def _row_hashes(columns: Iterable[pa.Array], seeds: Hashes) -> Hashes:
    """Return hash_record_extended of rows, each with its own seed."""
    hashes = np.zeros(len(seeds), np.uint64)
    for values in columns:
        hashes = hashes * np.uint64(31) + _hashes(values, seeds)
    return hashes


def _hashes(values: pa.Array, seeds: Hashes) -> Hashes:
    """Return a column's hashes, 0 for null."""
    import pyarrow as pa

    hashes = _list_hashes(values, seeds) if pa.types.is_list(values.type) else _value_hashes(values, seeds)
    if values.null_count:
        hashes[np.asarray(values.is_null())] = 0
    return hashes


def _list_hashes(values: pa.ListArray, seeds: Hashes) -> Hashes:
    """Return hash_array_extended; every element has its row's seed."""
    import pyarrow.compute as pc

    from hybridrec.postgresql import kernels

    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0))
    borders = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return kernels.folded(_value_hashes(values.flatten(), np.repeat(seeds, lengths)), borders)


def _value_hashes(values: pa.Array, seeds: Hashes) -> Hashes:
    import pyarrow as pa

    from hybridrec.postgresql import kernels

    if pa.types.is_string(values.type):
        data, borders = utf8_of(values)
        return kernels.hashed(data, borders.astype(np.int64), seeds)
    if pa.types.is_floating(values.type):  # real counts as double precision, and -0 is 0
        numbers = np.asarray(values).astype(np.float64)
        return np.where(numbers == 0, seeds, kernels.hashed(*_fixed(numbers), seeds))
    return kernels.hashed(*_fixed(_words(values)), seeds)


def _fixed(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of numbers, and the start and end of each."""
    return numbers.view(np.uint8), np.arange(len(numbers) + 1) * numbers.itemsize


def _words(values: pa.Array) -> np.ndarray:
    """Return whole numbers, truths and times as the 32 bits that PostgreSQL hashes: equal numbers of all lengths have equal ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = values
    if pa.types.is_date(values.type):
        numbers = pc.subtract(pc.cast(values, pa.int32()), EPOCH_DAYS)
    elif pa.types.is_timestamp(values.type):
        numbers = pc.subtract(pc.cast(values, pa.int64()), EPOCH_MICROSECONDS)
    longs = np.asarray(pc.fill_null(pc.cast(numbers, pa.int64()), 0))
    high = longs >> 32
    return (longs ^ np.where(longs < 0, ~high, high)).astype(np.uint32)  # the high half is 0 for shorter numbers

"""The hash over published rows: of their values, so that a version has the same one wherever it is published.

It does not depend on how a target stores a value, on how rows were batched, or on when it is computed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.tables import Table
from hybridrec.versions.publications import HASHED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LATER = (
    "experiment",
    "variant",
    "arm",
    "arm_probability",
    "slot_probabilities",
)  # versions without any are as those before there were such


class ColumnsHash:
    """A hash over the values of columns, bit by bit; where a batch ends does not matter.

    later: positions of columns that do not count while all of their values are null.
    """

    def __init__(self, later: frozenset[int] = frozenset()) -> None:
        self._nulls = dict.fromkeys(later, 0)  # so far, of columns that have had no value yet
        self._streams: defaultdict[tuple[int, int], hashlib._Hash] = defaultdict(hashlib.sha256)  # by the positions of column and part

    def add(self, columns: Iterable[pa.Array]) -> None:
        """Add the next values of each column; in every call the columns have the same types."""
        for column_number, values in enumerate(columns):
            if column_number in self._nulls:
                if values.null_count == len(values):
                    self._nulls[column_number] += len(values)
                    continue
                self._streams[column_number, 0].update(bytes(self._nulls.pop(column_number)))
            for number, part in enumerate(_parts(values)):
                if len(part):
                    self._streams[column_number, number].update(part.data)

    def hexdigest(self) -> str:
        """Return the hash of all values so far."""
        lines = "".join(
            f"{column_number} {number} {self._streams[column_number, number].hexdigest()}\n"
            for column_number, number in sorted(self._streams)
        )
        return hashlib.sha256(lines.encode()).hexdigest()


def _parts(values: pa.Array) -> Iterator[np.ndarray]:
    """Yield a column as streams of bytes: which values there are, how long each is, and the values as Arrow holds them.

    No two columns look alike, and nothing is put together that Arrow keeps apart: docs/decisions/0015 says why.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    yield np.asarray(values.is_valid())
    there = values.drop_null()
    if pa.types.is_list(there.type):
        yield np.asarray(pc.list_value_length(there))
        yield from _parts(there.flatten())
    elif pa.types.is_string(there.type):
        data, borders = utf8_of(there)
        yield np.diff(borders)
        yield data
    else:
        yield np.ascontiguousarray(there).view(np.uint8)


class TableHash:
    """Row count of a table and the hash of its values in the order of its key."""

    def __init__(self, definition: Table) -> None:
        self._definition = definition
        later = frozenset(at for at, name in enumerate(definition.column_names) if name in LATER)
        self._values = ColumnsHash(later)
        self._last_key: list[pa.Array] = []  # of the rows so far, one value a column
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Add the next rows and return them in the definition's columns and types.

        PermanentError when one repeats a key or comes out of order, for a null where the definition allows none or inside a list, and
        for a float that is not finite.
        """
        schema = self._definition.arrow_schema()
        _require_values(batch, self._definition)
        typed = batch.select(schema.names).cast(schema)
        self._require_order(typed)
        self._values.add(typed.columns)
        self.rows += typed.num_rows
        return typed

    def hexdigest(self) -> str:
        """Return the hash of all rows so far."""
        return self._values.hexdigest()

    def _require_order(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not batch.num_rows:
            return
        names = self._definition.key
        columns = [batch.column(name) for name in names]
        keys = [pa.concat_arrays(pair) for pair in zip(self._last_key, columns, strict=True)] if self._last_key else columns
        rising = pa.scalar(False)
        for column in reversed(keys):
            before, after = column[:-1], column[1:]
            rising = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), rising))
        at = pc.index(rising, False).as_py()
        if at >= 0:
            previous, current = (tuple(column[row].as_py() for column in keys) for row in (at, at + 1))
            raise PermanentError(
                f"{self._definition.name}: row {current} comes after {previous}; rows must be unique and in the order of {names}"
            )
        self._last_key = [column[-1:] for column in columns]


def _require_values(batch: pa.RecordBatch, definition: Table) -> None:
    """Require that values are present and numbers finite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in definition.columns:
        values = batch.column(column.name)
        if values.null_count and not column.nullable:
            raise PermanentError(f"{definition.name}: {values.null_count} of {len(values)} rows have no {column.name}")
        if pa.types.is_list(values.type):
            values = values.flatten()
            if values.null_count:
                raise PermanentError(f"{definition.name}: {values.null_count} list elements are null; a list holds values only")
        if pa.types.is_floating(values.type) and (odd := pc.sum(pc.invert(pc.is_finite(values))).as_py()):
            raise PermanentError(f"{definition.name}: {odd} of {len(values)} numbers are NaN or infinite; expected finite scores")


def utf8_of(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the UTF-8 of all the texts, concatenated, as Arrow holds it: nothing is copied. Also the start and end of each."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int32)
    borders = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[borders[0] : borders[-1]], borders - borders[0]


def combined_hash(tables: Mapping[str, TableHash]) -> str:
    """Return one hash of the tables that content_hash is of, whatever order they were written in."""
    lines = "".join(f"{name} {tables[name].rows} {tables[name].hexdigest()}\n" for name in sorted(tables) if name in HASHED)
    return hashlib.sha256(lines.encode()).hexdigest()

"""The text form of published rows, and the hash over it.

Targets without arrays store the text; every target hashes it. So a version has the same hash wherever it is published,
however its rows were batched, and whenever it was computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from hybridrec.errors import BadData
from hybridrec.tables import Table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def as_text(batch: pa.RecordBatch, definition: Table) -> pa.RecordBatch:
    """The batch with every column as text: lists as JSON arrays, numbers in their shortest exact form.

    BadData for a null where the definition allows none, a null inside a list, or a float that is not finite.
    """
    import pyarrow as pa

    columns = [batch.column(name) for name in definition.column_names]
    for column, values in zip(definition.columns, columns, strict=True):
        if values.null_count and not column.nullable:
            raise BadData(f"{definition.name}: {values.null_count} of {len(values)} rows have no {column.name}")
    texts = [_column_text(values, definition.name) for values in columns]
    return pa.RecordBatch.from_arrays(texts, names=list(definition.column_names))


def _column_text(values: pa.Array, table_name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type):
        return _list_text(values, table_name)
    if pa.types.is_floating(values.type):
        return _float_text(values, table_name)
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    return pc.cast(values, pa.string())


def _list_text(values: pa.ListArray, table_name: str) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = values.flatten()
    if flat.null_count:
        raise BadData(f"{table_name}: {flat.null_count} list elements are null; a list holds values only")
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    numeric = pa.types.is_floating(flat.type)
    texts, mark = (_float_text(flat, table_name), "") if numeric else (_escaped(flat), '"')
    inner = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), f"{mark},{mark}")
    arrays = pc.binary_join_element_wise(f"[{mark}", inner, f"{mark}]", "")
    return arrays if lengths.all() else pc.if_else(pa.array(lengths == 0), "[]", arrays)


def _escaped(texts: pa.StringArray) -> pa.StringArray:
    """The strings as JSON has them between quotes: few have a character that is written otherwise, and those repeat."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    data, borders = utf8_of(texts)
    special = np.flatnonzero((data < ord(" ")) | (data == ord('"')) | (data == ord("\\")))
    if not len(special):
        return texts
    concerned = np.zeros(len(texts), bool)
    concerned[np.searchsorted(borders, special, side="right") - 1] = True
    few = texts.filter(pa.array(concerned)).dictionary_encode()
    escaped = pa.array([encode_basestring(text)[1:-1] for text in few.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(concerned), escaped.take(few.indices))


def _float_text(values: pa.Array, table_name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    odd = pc.sum(pc.invert(pc.is_finite(values))).as_py()
    if odd:
        raise BadData(f"{table_name}: {odd} of {len(values)} numbers are NaN or infinite; expected finite scores")
    return pc.cast(pc.cast(values, pa.float32()), pa.string())


class TableHash:
    """Row count of a table and SHA-256 over its rows in the order of its key; batch borders do not matter."""

    def __init__(self, definition: Table) -> None:
        self._definition = definition
        self._digest = hashlib.sha256()
        self._last_key: list[pa.Array] = []  # of the rows so far, one value a column
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Add the next rows and return them as text; BadData when one repeats a key or comes out of order."""
        self._require_order(batch)
        texts = as_text(batch, self._definition)
        self.add_text(texts)
        return texts

    def add_text(self, texts: pa.RecordBatch) -> None:
        """Add rows that are text already. Each field counts with its length, so no two rows look alike."""
        import pyarrow.compute as pc

        parts: list[pa.Array | str] = []
        for column in texts.columns:
            length = pc.cast(pc.binary_length(column), "string")
            if column.null_count:
                parts.append(pc.fill_null(pc.binary_join_element_wise(length, column, ":"), "-"))
            else:
                parts += [length, ":", column]
        self._digest.update(utf8_of(pc.binary_join_element_wise(*parts, "\n", ""))[0].data)
        self.rows += texts.num_rows

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        return self._digest.hexdigest()

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
            previous, current = (tuple(column[place].as_py() for column in keys) for place in (at, at + 1))
            raise BadData(f"{self._definition.name}: row {current} comes after {previous}; rows must be unique and in the order of {names}")
        self._last_key = [column[-1:] for column in columns]


def utf8_of(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 of all the texts, one after the other, as Arrow holds it: nothing is copied. And where each begins and ends."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int32)
    borders = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[borders[0] : borders[-1]], borders - borders[0]


def combined_hash(tables: Mapping[str, TableHash]) -> str:
    """One hash of several tables, whatever order they were written in."""
    lines = "".join(f"{name} {tables[name].rows} {tables[name].hexdigest()}\n" for name in sorted(tables))
    return hashlib.sha256(lines.encode()).hexdigest()

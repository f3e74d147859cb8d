"""Rows as text: what a target without arrays stores."""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from hybridrec.tables import Table
from hybridrec.versions.content_hash import utf8_of

if TYPE_CHECKING:
    import pyarrow as pa


def as_text(batch: pa.RecordBatch, definition: Table) -> pa.RecordBatch:
    """Return the batch with every column as text: lists as JSON arrays, numbers in their shortest exact form; null stays null.

    Lists hold no null and numbers are finite, as `content_hash.TableHash` requires.
    """
    import pyarrow as pa

    texts = [_column_text(batch.column(name)) for name in definition.column_names]
    return pa.RecordBatch.from_arrays(texts, names=list(definition.column_names))


def _column_text(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type):
        return _list_text(values)
    if pa.types.is_floating(values.type):
        return _float_text(values)
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    return pc.cast(values, pa.string())


def _list_text(values: pa.ListArray) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = values.flatten()
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    numeric = pa.types.is_floating(flat.type)
    texts, mark = (_float_text(flat), "") if numeric else (_escaped(flat), '"')
    inner = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), f"{mark},{mark}")
    arrays = pc.binary_join_element_wise(f"[{mark}", inner, f"{mark}]", "")
    filled = arrays if lengths.all() else pc.if_else(pa.array(lengths == 0), "[]", arrays)
    return pc.if_else(values.is_valid(), filled, None) if values.null_count else filled


def _escaped(texts: pa.StringArray) -> pa.StringArray:
    """Return the strings as JSON has them between quotes: few have a character that is written otherwise, and those repeat."""
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


def _float_text(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(pc.cast(values, pa.float32()), pa.string())

"""Parquet: the known columns in types that Spark can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from hybridrec.base.errors import PermanentError
from hybridrec.reading import Wanted
from hybridrec.reading.columns import known_columns

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(file: str, raw: BinaryIO, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the known columns of a Parquet file, block by block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # as nanoseconds, which is Arrow's choice, an INT96 reaches from 1677 to 2262 and the year 9999 would become 1816
        with pq.ParquetFile(raw, coerce_int96_timestamp_unit="us") as content:
            file_schema = content.schema_arrow
            names = known_columns(file, file_schema.names, wanted)
            schema = pa.schema([pa.field(name, _plain_type(file, name, file_schema.field(name).type)) for name in names])
            yield pa.RecordBatch.from_pylist([], schema=schema)
            for batch in content.iter_batches(columns=names):
                yield pa.RecordBatch.from_arrays(
                    [_cast(file, name, batch.column(name), schema.field(name).type) for name in names], schema=schema
                )
    except pa.ArrowNotImplementedError:
        raise PermanentError(f"files: {file} uses a feature of Parquet that is not known here (encryption?); write it without") from None
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk, not the file
        raise PermanentError(f"files: {file} is no whole Parquet file; it may be cut off; deliver it again and land again") from None


def _cast(file: str, name: str, column: pa.Array, wanted: pa.DataType) -> pa.Array:
    import pyarrow as pa
    from pyarrow import compute as pc

    try:
        # nanoseconds become microseconds; a time outside of what these can say does not wrap around
        cast = pc.cast(column, options=pc.CastOptions(wanted, allow_time_truncate=True))
        cast.validate(full=True)
    except pa.ArrowInvalid:
        raise PermanentError(
            f"files: {file} column {name} holds a value that is no {wanted} (text that is not UTF-8?); correct it and land again"
        ) from None
    return cast


def _plain_type(file: str, name: str, stored_type: pa.DataType) -> pa.DataType:
    """Return a type that Spark can read: microseconds in UTC, no dictionaries, unsigned or large types; bytes are taken for text."""
    import pyarrow as pa

    is_a = pa.types
    text = (is_a.is_large_string, is_a.is_string_view, is_a.is_null, is_a.is_binary, is_a.is_large_binary, is_a.is_binary_view)
    plain: dict[bool, pa.DataType] = {
        is_a.is_timestamp(stored_type): pa.timestamp("us", tz="UTC"),
        is_a.is_unsigned_integer(stored_type): pa.decimal128(20, 0),
        any(matches(stored_type) for matches in text): pa.string(),
        is_a.is_float16(stored_type): pa.float32(),
        is_a.is_date64(stored_type): pa.date32(),
    }
    if True in plain:
        return plain[True]
    if is_a.is_dictionary(stored_type):
        return _plain_type(file, name, stored_type.value_type)
    lists = (is_a.is_list, is_a.is_large_list, is_a.is_fixed_size_list)
    if any(matches(stored_type) for matches in lists) and not is_a.is_nested(stored_type.value_type):
        return pa.list_(_plain_type(file, name, stored_type.value_type))
    readable = is_a.is_primitive(stored_type) or is_a.is_string(stored_type) or is_a.is_decimal128(stored_type)
    if is_a.is_time(stored_type) or is_a.is_duration(stored_type) or not readable:
        kind = str(stored_type).split("<")[0].split("[")[0]  # the names of a struct's fields are not for a message
        raise PermanentError(f"files: {file} column {name} is of type {kind}; expected text, a number, a time stamp or a list of text")
    return stored_type

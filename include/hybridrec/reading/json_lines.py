"""JSON lines: one object a line, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from hybridrec.base.errors import PermanentError
from hybridrec.reading import Wanted
from hybridrec.reading.columns import known_columns
from hybridrec.reading.text import lines

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, CHARACTERS = 50_000, 1 << 24  # of one block, whichever comes first
WHOLE = 2**53  # from here on two whole numbers may be one float
Row = dict[str, str | None]


def read_json_lines(file: str, raw: BinaryIO, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the table's columns of every object; lists and objects as JSON, values of folders for absent keys."""
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.string()) for name in wanted.definition.column_names])
    names: dict[str, None] = {}  # those of the table, and one for all others
    rows: list[Row] = []
    size = 0
    yield pa.RecordBatch.from_pylist([], schema=schema)
    for number, line in enumerate(lines(file, raw), 1):
        if line.isspace():
            continue
        values = _parse_line(file, number, line)
        names.update((name if name in schema.names else "further keys", None) for name in values)
        rows.append({name: _as_text(values[name]) if name in values else wanted.folders.get(name) for name in schema.names})
        size += len(line)
        if len(rows) == ROWS or size > CHARACTERS:
            yield pa.RecordBatch.from_pylist(rows, schema=schema)
            rows, size = [], 0
    known_columns(file, list(names), wanted)
    yield pa.RecordBatch.from_pylist(rows, schema=schema)


def _parse_line(file: str, number: int, line: str) -> dict[str, object]:
    try:
        values = json.loads(line[:-1])
    except json.JSONDecodeError as error:
        fault = f"{error.msg} at character {error.colno}"
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
        fault = "a number or a nesting without end"
    else:
        if isinstance(values, dict):
            return values
        fault = f"the line holds {'an array' if isinstance(values, list) else 'a single value'}"
    if line.lstrip().startswith("[") and number == 1:
        raise PermanentError(f"files: {file} holds an array; expected one JSON object a line; convert it, as with: jq -c '.[]'")
    raise PermanentError(f"files: {file} line {number} is no JSON object ({fault}); expected one object a line; correct it and land again")


def _as_text(value: object) -> str | None:
    """Return a value as text that every store can hold: half a surrogate pair becomes U+FFFD; 196.0 is 196."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= WHOLE:
            return f"{value:.16e}"  # all digits that it has, and that it was no whole number: as an id it may be two
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

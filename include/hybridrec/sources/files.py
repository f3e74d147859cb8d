"""Your own data: a folder with events, items and users as Parquet, CSV or JSON lines.

    <folder>/events.csv            or  <folder>/events/2026-01-31.parquet, ...
    <folder>/items.parquet         optional: without it the items are those that events name
    <folder>/users.jsonl           optional: likewise

Columns are named as in core_events, core_items and core_users; others are ignored. CSV may have commas, semicolons or
tabs. Values stay as they came: text is read as numbers and times only when it is cleaned, so that one wrong value
costs one row and not the file. What cannot be read at all is refused with its file, line and remedy.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.errors import BadData
from hybridrec.settings import Settings
from hybridrec.sources import PARTS, options
from hybridrec.tables import Table, table

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
DOC = "Your own files: events, items, users as Parquet, CSV or JSON lines in a folder"
FOLDER_VARIABLE = "HYBRIDREC_FILES"
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
REQUIRED = {"events": ("user_id", "item_id", "event_type", "event_at"), "items": ("item_id",), "users": ("user_id",)}
BLOCK = 1 << 20
JSON_ROWS = 50_000


@dataclass(frozen=True)
class Config:
    """folder: where the files are; the environment variable HYBRIDREC_FILES goes first."""

    folder: str = ""


def land(settings: Settings, folder: Path, seed: int) -> None:
    """Copy every file's known columns to Parquet, block by block; the seed does not matter."""
    origin = _origin(settings)
    found = {part: find_files(origin, part) for part in PARTS}
    if not found["events"]:
        raise BadData(
            f"files: {origin} holds no events; expected events.parquet, events.csv, events.jsonl or a folder events/ of such files"
        )
    for part, paths in found.items():
        definition = table(f"core_{part}")
        for path in paths:
            _require_content(path)
            target = folder / part / f"{'__'.join(path.relative_to(origin).parts)}.parquet"  # its name stands in quarantine
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, read_blocks(path, definition, REQUIRED[part]))


def _origin(settings: Settings) -> Path:
    named = os.environ.get(FOLDER_VARIABLE) or options(settings, "files", Config()).folder
    if not named:
        raise BadData(f"files: no folder is named; set {FOLDER_VARIABLE} or [sources.files] folder in {settings.home / 'hybridrec.toml'}")
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise BadData(f"files: there is no folder {folder}; correct {FOLDER_VARIABLE} or [sources.files] folder")
    return folder


def find_files(origin: Path, part: str) -> list[Path]:
    """The files of events, items or users: `part.*` and `part/**`, sorted; BadData for an unknown kind of file."""
    inside = [path for path in (origin / part).rglob("*") if path.is_file()] if (origin / part).is_dir() else []
    found = [path for path in [*origin.glob(f"{part}.*"), *inside] if path.name[0] not in "._"]
    unknown = [path for path in found if path.suffix.lower() not in SUFFIXES]
    if unknown:
        raise BadData(f"files: {unknown[0]} is of no known kind; expected {', '.join(SUFFIXES)}")
    return sorted(found)


def _require_content(path: Path) -> None:
    try:
        size = path.stat().st_size
        path.open("rb").close()
    except PermissionError:
        raise BadData(f"files: no permission to read {path}; let this user read it and land again") from None
    if not size:
        raise BadData(f"files: {path} is empty (0 bytes); deliver it again, or remove it and land again")


def read_blocks(path: Path, definition: Table, required: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The known columns of one file, block by block."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path, definition, required)
    _require_utf8(path)
    if suffix in (".csv", ".tsv"):
        return _read_csv(path, definition, required)
    return _read_json_lines(path, definition, required)


def _write(target: Path, blocks: Iterator[pa.RecordBatch]) -> None:
    import pyarrow.parquet as pq

    first = next(blocks)
    with pq.ParquetWriter(target, first.schema, compression="zstd") as writer:
        writer.write_batch(first)
        for block in blocks:
            writer.write_batch(block)


def _known_columns(path: Path, names: list[str], definition: Table, required: tuple[str, ...]) -> list[str]:
    missing = [name for name in required if name not in names]
    if missing:
        raise BadData(
            f"files: {path} has no column {', '.join(missing)}; its columns are {', '.join(names[:20])}; "
            f"rename or add them: {definition.name} needs {', '.join(required)}"
        )
    if len(set(names)) < len(names):
        raise BadData(f"files: {path} names a column twice: {', '.join(sorted(names))}; every column needs a name of its own")
    ignored = [name for name in names if name not in definition.column_names]
    if ignored:
        log.warning("%s: ignored columns that %s does not have: %s", path, definition.name, ", ".join(ignored))
    return [name for name in names if name in definition.column_names]


def _read_parquet(path: Path, definition: Table, required: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = _known_columns(path, file.schema_arrow.names, definition, required)
            schema = pa.schema([pa.field(name, _plain_type(path, name, file.schema_arrow.field(name).type)) for name in names])
            yield pa.RecordBatch.from_pylist([], schema=schema)
            for batch in file.iter_batches(columns=names):
                # not safe: nanoseconds become microseconds
                yield pa.RecordBatch.from_arrays(
                    [batch.column(name).cast(schema.field(name).type, safe=False) for name in names], schema=schema
                )
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(
            f"files: {path} is no whole Parquet file ({str(error).splitlines()[0]}); it may be cut off; deliver it again and land again"
        ) from None


def _plain_type(path: Path, name: str, found: pa.DataType) -> pa.DataType:
    """A type that Spark can read: microseconds in UTC, no dictionaries, unsigned or large types."""
    import pyarrow as pa

    plain: dict[bool, pa.DataType] = {
        pa.types.is_timestamp(found): pa.timestamp("us", tz="UTC"),
        pa.types.is_unsigned_integer(found): pa.decimal128(20, 0),
        pa.types.is_large_string(found) or pa.types.is_string_view(found) or pa.types.is_null(found): pa.string(),
        pa.types.is_float16(found): pa.float32(),
        pa.types.is_date64(found): pa.date32(),
    }
    if True in plain:
        return plain[True]
    if pa.types.is_dictionary(found):
        return _plain_type(path, name, found.value_type)
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        return pa.list_(_plain_type(path, name, found.value_type))
    if pa.types.is_time(found) or pa.types.is_duration(found) or not (pa.types.is_primitive(found) or pa.types.is_string(found)):
        raise BadData(f"files: {path} column {name} is of type {found}; expected text, a number, a time stamp or a list of text")
    return found


def _require_utf8(path: Path) -> None:
    """BadData names the line and byte of the first text that is not UTF-8."""
    decoder, line, offset = codecs.getincrementaldecoder("utf-8")(), 1, 0
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                byte = error.object[error.start]
                raise BadData(
                    f"files: {path} is not UTF-8: line {line}, byte {offset - pending + error.start} is 0x{byte:02x}; "
                    f"convert it, as with: iconv -f latin1 -t utf-8 {path.name}"
                ) from None
            if not block:
                return
            line, offset = line + text.count("\n"), offset + len(block)


def _read_csv(path: Path, definition: Table, required: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import csv

    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().rstrip("\r\n")
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    known = _known_columns(path, names, definition, required)
    wrong: list[str] = []

    def refuse(row: csv.InvalidRow) -> str:
        wrong.append(f"{row.number} has {row.actual_columns} values, expected {row.expected_columns}: {row.text[:80]!r}")
        return "error"

    texts = {name: pa.string() for name in known}
    convert = csv.ConvertOptions(column_types=texts, include_columns=known, strings_can_be_null=True, null_values=[""])
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse)
    try:
        reader = csv.open_csv(path, csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1, block_size=BLOCK), parse, convert)
        yield pa.RecordBatch.from_pylist([], schema=pa.schema(texts.items()))
        yield from (batch.select(known) for batch in reader)
    except pa.ArrowInvalid as error:
        raise BadData(f"files: {path} cannot be read as CSV: row {wrong[0] if wrong else error}; correct it and land again") from None


def _read_json_lines(path: Path, definition: Table, required: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.string()) for name in definition.column_names])
    names: dict[str, None] = {}
    rows: list[dict[str, str | None]] = []
    yield pa.RecordBatch.from_pylist([], schema=schema)
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            values = _parse_line(path, number, line)
            names.update(dict.fromkeys(values))
            rows.append({name: _as_text(values.get(name)) for name in schema.names})
            if len(rows) == JSON_ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
    _known_columns(path, list(names), definition, required)
    yield pa.RecordBatch.from_pylist(rows, schema=schema)


def _parse_line(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise BadData(f"files: {path} line {number} is no JSON ({error}): {line[:80]!r}; correct the line and land again") from None
    if not isinstance(values, dict):
        raise BadData(f"files: {path} line {number} is no JSON object: {line[:80]!r}; expected one object a line")
    return values


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)

"""Your own data: a folder with events, items and users as Parquet, CSV or JSON lines. docs/your-data.md says what is accepted.

    <folder>/events.csv            or  <folder>/events/2026-01-31.parquet, ...
    <folder>/items.parquet         optional: without it the items are those that events name
    <folder>/users.jsonl optional: without it the users are those that events name

Columns are named as in core_events, core_items and core_users; others are ignored. Values stay as they came: text is
read as numbers and times only when it is cleaned, so that one wrong value costs one row and not the file. An unreadable file is refused
with its name, line and remedy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.reading import Wanted
from hybridrec.reading.columns import add_constants, add_folder_columns
from hybridrec.reading.delivery import Delivered, find_files, find_others, opened
from hybridrec.sources import PARTS, SOURCE_FILE, options
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
DOC = "Your own files: events, items, users as Parquet, CSV or JSON lines in a folder"
FOLDER_VARIABLE = "HYBRIDREC_FILES"
REQUIRED = {"events": ("user_id", "item_id", "event_type", "event_at"), "items": ("item_id",), "users": ("user_id",)}


@dataclass(frozen=True)
class Config:
    """Options.

    folder: path of the files; the environment variable HYBRIDREC_FILES takes precedence.
    """

    folder: str = ""


def land(settings: Settings, folder: Path, seed: int) -> None:
    """Copy every file's known columns to Parquet, block by block; the seed does not matter."""
    origin = _origin(settings)
    if not find_files(origin, "events"):
        raise PermanentError(
            f"files: {origin} holds no events; expected events.parquet, events.csv, events.jsonl or a folder events/ of such files"
        )
    others = find_others(origin, PARTS)
    if others:
        log.warning("%s: ignored files that are unfinished or named neither events, items nor users: %s", origin, ", ".join(others[:10]))
    for part in PARTS:
        for number, blocks in enumerate(read_part(origin, part, REQUIRED[part])):
            target = folder / part / f"{number:06d}.parquet"  # a foreign name may be too long, or a pattern or an address to Spark
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, blocks)


def read_part(origin: Path, part: str, required: tuple[str, ...]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Yield the known columns of each file of a part, block by block, with SOURCE_FILE; a file's blocks are read before the next file's."""
    folder = origin.resolve()
    for file in find_files(folder, part):
        with opened(folder, file) as raw:
            blocks = _read(file, raw, Wanted(table(f"core_{part}"), required, file.folders))
            yield (add_constants(block, {SOURCE_FILE: file.name}) for block in blocks)


def _origin(settings: Settings) -> Path:
    named = os.environ.get(FOLDER_VARIABLE) or options(settings, "files", Config()).folder
    if not named:
        raise PermanentError(
            f"files: no folder is named; set {FOLDER_VARIABLE} or [sources.files] folder in {settings.home / 'hybridrec.toml'}"
        )
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise PermanentError(f"files: there is no folder {folder}; correct {FOLDER_VARIABLE} or [sources.files] folder")
    return folder.resolve()


def _read(file: Delivered, raw: BinaryIO, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the known columns of one file, block by block; the first block is empty."""
    import pyarrow as pa

    from hybridrec.reading.delimited import read_csv
    from hybridrec.reading.json_lines import read_json_lines
    from hybridrec.reading.parquet import read_parquet

    if not raw.read(1):
        return iter([pa.RecordBatch.from_pylist([], schema=pa.schema([(name, pa.string()) for name in wanted.required]))])
    raw.seek(0)
    read = {"parquet": read_parquet, "csv": read_csv, "json": read_json_lines}[file.kind]
    return add_folder_columns(read(file.shown, raw, wanted), wanted)


def _write(target: Path, blocks: Iterator[pa.RecordBatch]) -> None:
    import pyarrow.parquet as pq

    first = next(blocks)
    with pq.ParquetWriter(target, first.schema, compression="zstd") as writer:
        writer.write_batch(first)
        for block in blocks:
            writer.write_batch(block)

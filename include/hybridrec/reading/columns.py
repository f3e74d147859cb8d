"""Which columns of a file are taken, and what its folders' names add."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.reading import Wanted

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


def known_columns(file: str, names: Iterable[str], wanted: Wanted) -> list[str]:
    """Return the file's columns that the table has, in the file's order; PermanentError if one is missing or comes twice."""
    counts = Counter(names)
    table = wanted.definition.name
    missing = [name for name in wanted.required if name not in counts and name not in wanted.folders]
    if missing:
        raise PermanentError(
            f"files: {file} has no column {', '.join(missing)} among its {counts.total()}; "
            f"rename or add them: {table} needs {', '.join(wanted.required)}"
        )
    known = [name for name in counts if name in wanted.definition.column_names]
    twice = [name for name in known if counts[name] > 1]
    if twice:
        raise PermanentError(f"files: {file} names a column twice: {', '.join(twice)}; every column needs a name of its own")
    ignored = sum(1 for name in counts if name) - len(known)
    if ignored:
        absent = [name for name in wanted.definition.column_names if name not in known]
        log.warning("%s: ignored %d columns that %s does not have; missing in the file: %s", file, ignored, table, absent)
    return known


def add_folder_columns(blocks: Iterator[pa.RecordBatch], wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the blocks with a column for each value that stands in a folder's name, unless the file has that column itself."""
    for block in blocks:
        names = [name for name in wanted.folders if name in wanted.definition.column_names and name not in block.schema.names]
        yield add_constants(block, {name: wanted.folders[name] for name in names})


def add_constants(block: pa.RecordBatch, values: dict[str, str | None]) -> pa.RecordBatch:
    """Return a block with further text columns, each of one value."""
    import pyarrow as pa

    for name, value in values.items():
        block = block.append_column(name, pa.repeat(pa.scalar(value, pa.string()), block.num_rows))
    return block

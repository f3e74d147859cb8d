"""CSV: the dialect is found out and verified before a row is taken, so that no row can be swallowed in silence.

A file without quotes in which every line has as many values as the header is read by Arrow. Any other is read as a whole
in one way after the other, RFC 4180 first, until all of its records have the header's width. If quotes span lines that could each be a
record, both readings are possible: the file is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.reading import Wanted
from hybridrec.reading.columns import known_columns
from hybridrec.reading.decimal_marks import columns_with_decimal_comma, mark_thousands, numeric_columns
from hybridrec.reading.text import MAX_LINE, lines, text_blocks, whole_lines

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = ",;\t|"
ROWS, CHARACTERS = 50_000, 1 << 24  # of one block, whichever comes first
DOUBTS = 1_000  # records that are looked at again
REMEDY = (
    "write values that hold a delimiter, a quote or a line's end in quotes and a quote in a value twice, or deliver Parquet or JSON lines"
)


@dataclass(frozen=True)
class Layout:
    """Reading of the header.

    names: by position, "" for a column without. lines: physical lines up to the header's, which is the last of them.
    """

    file: str
    delimiter: str
    names: list[str]
    lines: int

    def misfit(self, record: list[str]) -> bool:
        """Return whether a record has too few values for the named columns, or values beyond the header's width."""
        if len(record) == len(self.names):
            return False
        named = max(column for column, name in enumerate(self.names, 1) if name)
        return len(record) < named or any(record[len(self.names) :])


class Record(NamedTuple):
    """One record. first, last: the lines, as written; number: of the first one, in the file."""

    values: list[str]
    number: int
    first: str
    last: str


@dataclass(frozen=True)
class Reading:
    """One way to read a delimited file. quoted: a quote at a value's begin opens it. escaped: a backslash takes a character as it is."""

    quoted: bool
    escaped: bool


class Survey(NamedTuple):
    """Result of a pass over the file. even: all lines have the header's width if quotes have no meaning."""

    has_quotes: bool
    has_backslashes: bool
    even: bool


def read_csv(file: str, raw: BinaryIO, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the known columns of a delimited file as text, block by block."""
    import pyarrow as pa

    layout = _read_header(file, raw, wanted)
    known = known_columns(file, layout.names, wanted)
    survey = _survey(layout, raw)
    plain = survey.even and not survey.has_quotes
    reading = None if plain else _choose(layout, raw, wanted, survey)
    numeric = [] if plain and layout.delimiter == "," else numeric_columns(known, wanted.definition)  # no value can hold a comma there
    commas = columns_with_decimal_comma(_read_rows(layout, raw, known, reading), numeric) if numeric else []
    yield pa.RecordBatch.from_pylist([], schema=pa.schema([pa.field(name, pa.string()) for name in known]))
    for block in _read_rows(layout, raw, known, reading):
        yield mark_thousands(block, commas)


def _read_rows(layout: Layout, raw: BinaryIO, known: list[str], reading: Reading | None) -> Iterator[pa.RecordBatch]:
    return _read_plain(layout, raw, known) if reading is None else _read_records(layout, raw, known, reading)


def _read_header(file: str, raw: BinaryIO, wanted: Wanted) -> Layout:
    """Return the first line that is neither blank nor a comment, and the delimiter that gives most of the known names."""
    for number, line in enumerate(lines(file, raw), 1):
        if line.isspace() or line.startswith(("#", "sep=")):
            continue
        splits = {delimiter: _split_header(line, delimiter) for delimiter in DELIMITERS}
        known = set(wanted.definition.column_names)
        delimiter = max(splits, key=lambda one: (len(known.intersection(splits[one])), len(splits[one])))
        return Layout(file, delimiter, splits[delimiter], number)
    raise PermanentError(f"files: {file} has no header; its first line must name the columns: {', '.join(wanted.required)}")


def _split_header(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]


def _rows_of_text(layout: Layout, raw: BinaryIO) -> Iterator[str]:
    """Yield the text after the header, in blocks that end with a line's end."""
    left = layout.lines
    for block in whole_lines(layout.file, text_blocks(layout.file, raw)):
        start = 0
        while left and start < len(block):
            start = block.index("\n", start) + 1
            left -= 1
        if block[start:].strip("\n"):
            yield block[start:]


def _survey(layout: Layout, raw: BinaryIO) -> Survey:
    quotes = backslashes = False
    even = True
    for block in _rows_of_text(layout, raw):
        quotes, backslashes = quotes or '"' in block, backslashes or "\\" in block
        even = even and _is_even(block, layout)
    return Survey(quotes, backslashes, even)


def _is_even(block: str, layout: Layout) -> bool:
    """Return whether all lines that are not blank have one delimiter less than the header has names."""
    letters = np.frombuffer(block.encode(), np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    delimiters = np.cumsum(letters == ord(layout.delimiter))[ends]
    of_line, length = np.diff(delimiters, prepend=0), np.diff(ends, prepend=-1) - 1
    return bool((of_line[length > 0] == len(layout.names) - 1).all())


def _read_plain(layout: Layout, raw: BinaryIO, known: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield a file of even lines without quotes."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    numbers = [str(column) for column in range(len(layout.names))]
    taken = [str(layout.names.index(name)) for name in known]
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(taken, pa.string()), include_columns=taken, strings_can_be_null=True, null_values=[""]
    )
    parse = arrow_csv.ParseOptions(delimiter=layout.delimiter, quote_char=False, double_quote=False, newlines_in_values=False)
    for block in _rows_of_text(layout, raw):
        data = block.encode()
        options = arrow_csv.ReadOptions(use_threads=False, column_names=numbers, block_size=len(data) + 1)
        try:
            rows = arrow_csv.read_csv(pa.BufferReader(data), options, parse, convert).rename_columns(known).combine_chunks()
        except pa.ArrowInvalid:  # its message would quote the row
            raise PermanentError(f"files: {layout.file} has changed while it was read; deliver it as a whole and land again") from None
        expected = block.count("\n") - len(re.findall(r"^\n", block, re.MULTILINE))
        if rows.num_rows != expected:
            raise PermanentError(f"files: {layout.file}: {expected} lines gave {rows.num_rows} rows; deliver Parquet or JSON lines")
        yield from rows.to_batches()


def _records(layout: Layout, raw: BinaryIO, reading: Reading) -> Iterator[Record]:
    """Yield all records that are not blank; csv.Error where the reading does not fit."""
    csv.field_size_limit(MAX_LINE)
    current: list[str] = []

    def take() -> Iterator[str]:
        for line in islice(lines(layout.file, raw), layout.lines, None):
            current.append(line)
            yield _without_null_escapes(line, layout.delimiter) if reading.escaped else line

    reader = csv.reader(
        take(),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if reading.quoted else csv.QUOTE_NONE,
        doublequote=True,  # also beside backslashes: without it a quote written twice would stay, and its value end there
        escapechar="\\" if reading.escaped else None,
        skipinitialspace=reading.quoted,
        strict=True,
    )
    for values in reader:
        if values and not (len(values) == 1 and not values[0].strip()):
            yield Record(values, layout.lines + reader.line_num - len(current) + 1, current[0], current[-1])
        current.clear()


def _without_null_escapes(line: str, delimiter: str) -> str:
    r"""Return a line without values that are \N, which would become the letter N."""
    mark = re.escape(delimiter)
    return re.sub(rf"(^|{mark})\\N(?={mark}|\n)", r"\1", line) if "\\N" in line else line


def _choose(layout: Layout, raw: BinaryIO, wanted: Wanted, survey: Survey) -> Reading:
    """Return the first reading in which all records have the header's width; PermanentError if none does or two differ."""
    possible = (
        (Reading(quoted=True, escaped=False), survey.has_quotes),
        (Reading(quoted=True, escaped=True), survey.has_quotes and survey.has_backslashes),
        (Reading(quoted=False, escaped=False), True),
        (Reading(quoted=False, escaped=True), survey.has_backslashes),
    )
    faults = []
    for reading in [reading for reading, applies in possible if applies]:
        doubts: list[Record] = []
        fault = _try(layout, raw, reading, doubts)
        if not fault:
            _require_no_doubt(layout, raw, wanted, reading, doubts)
            return reading
        faults.append(fault)
    raise PermanentError(f"files: {layout.file} cannot be read as CSV: {faults[0]}; {REMEDY}")


def _try(layout: Layout, raw: BinaryIO, reading: Reading, doubts: list[Record]) -> str:
    """Return the misfit of a reading, or ""; fills doubts with records whose first and last line could be records themselves."""
    number = layout.lines
    try:
        for record in _records(layout, raw, reading):
            number = record.number
            if layout.misfit(record.values):
                return f"line {number} has {len(record.values)} values, expected {len(layout.names)}"
            if not reading.quoted and any(len(value) > 1 and value[0] == value[-1] == '"' for value in record.values):
                return f"line {number} has a value in quotes, while quotes elsewhere stand alone"
            if record.first is not record.last and _could_be_two(layout, record) and len(doubts) < DOUBTS:
                doubts.append(record)
    except csv.Error as error:
        return _explain(error, number)
    return ""


def _explain(error: csv.Error, number: int) -> str:
    after = f"the record after line {number}"
    if "unexpected end" in str(error):
        return f"{after} opens a quote that is never closed"
    if "field limit" in str(error):
        return f"{after} has a value of more than {MAX_LINE} characters, or opens a quote that is never closed"
    return f"{after} has a quote inside a value in quotes"


def _could_be_two(layout: Layout, record: Record) -> bool:
    wanted = len(layout.names) - 1
    return record.first.count(layout.delimiter) == record.last.count(layout.delimiter) == wanted


def _require_no_doubt(layout: Layout, raw: BinaryIO, wanted: Wanted, reading: Reading, doubts: list[Record]) -> None:
    """Raise PermanentError if the last line of a record that spans lines begins as the records of this file do."""
    if not doubts:
        return
    indices = [layout.names.index(name) for name in wanted.required if name in layout.names]
    usual = {_shape(record.values, indices) for record in _records(layout, raw, reading)}
    for record in doubts:
        if _shape(record.last.rstrip("\n").split(layout.delimiter), indices) in usual:
            raise PermanentError(
                f"files: {layout.file} line {record.number}: a quote opens here and closes lines later, "
                f"and each of these lines could be a row of its own; {REMEDY}"
            )


def _shape(values: list[str], indices: Iterable[int]) -> tuple[str, ...]:
    """Return the kinds of letters in the values at those indices: 'i12' and 'q7' are alike."""
    return tuple(re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", values[index].strip(' "'))) for index in indices)


def _read_records(layout: Layout, raw: BinaryIO, known: list[str], reading: Reading) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    indices = [layout.names.index(name) for name in known]
    as_block: Callable[[list[list[str]]], pa.RecordBatch] = lambda rows: pa.RecordBatch.from_arrays(  # noqa: E731
        [pa.array([row[index] or None for row in rows], pa.string()) for index in indices], names=known
    )
    rows: list[list[str]] = []
    size = 0
    for record in _records(layout, raw, reading):
        rows.append(record.values)
        size += sum(map(len, record.values))
        if len(rows) == ROWS or size > CHARACTERS:
            yield as_block(rows)
            rows, size = [], 0
    yield as_block(rows)

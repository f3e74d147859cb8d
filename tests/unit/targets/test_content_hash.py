"""Bytes of a table that are hashed: exactly these, so that a recorded hash stays true."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridrec.base.errors import PermanentError
from hybridrec.storage.ahead import one_ahead
from hybridrec.tables import Column, Table
from hybridrec.versions.content_hash import TableHash
from hybridrec.versions.row_text import as_text

TABLE = Table(
    name="out_small",
    doc="",
    columns=(
        Column("window", "string", ""),
        Column("rank", "int32", ""),
        Column("n", "list<string>", ""),
        Column("note", "string", "", True),
    ),
    key=("window", "rank"),
)
ROWS = [("a", 2, ['Zoë "Z"', "b"], None), ("a", 10, [], "x"), ("é", 1, ["c"], "")]
# By column and part: the mask of values, their lengths, and the values; for a list also those of its elements.
PARTS = {
    (0, 0): b"\1\1\1",
    (0, 1): struct.pack("<3i", 1, 1, 2),
    (0, 2): "aaé".encode(),
    (1, 0): b"\1\1\1",
    (1, 1): struct.pack("<3i", 2, 10, 1),
    (2, 0): b"\1\1\1",
    (2, 1): struct.pack("<3i", 2, 0, 1),
    (2, 2): b"\1\1\1",
    (2, 3): struct.pack("<3i", 8, 1, 1),
    (2, 4): 'Zoë "Z"bc'.encode(),
    (3, 0): b"\0\1\1",
    (3, 1): struct.pack("<2i", 1, 0),
    (3, 2): b"x",
}


def batch(rows: Sequence[tuple[object, ...]]) -> pa.RecordBatch:
    schema = TABLE.arrow_schema()
    return pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def hash_of(*batches: pa.RecordBatch) -> str:
    hashed = TableHash(TABLE)
    for rows in batches:
        hashed.add(rows)
    return hashed.hexdigest()


@pytest.mark.parametrize("border", [0, 1, 3])
def test_each_part_of_a_column_is_hashed_by_itself(border: int) -> None:
    lines = "".join(f"{column} {part} {hashlib.sha256(data).hexdigest()}\n" for (column, part), data in PARTS.items())
    assert hash_of(batch(ROWS[:border]), batch(ROWS[border:])) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_part_of_a_batch_is_hashed_as_that_part() -> None:
    whole = batch(ROWS)
    assert hash_of(whole.slice(0, 1), whole.slice(1)) == hash_of(whole)


SMALL_ROWS = st.lists(st.tuples(st.lists(st.text("ab", max_size=2), max_size=3), st.none() | st.text("ab", max_size=2)), max_size=3)


@given(SMALL_ROWS, SMALL_ROWS)
def test_only_equal_rows_have_the_same_hash(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    hashes = [hash_of(batch([("a", rank, *values) for rank, values in enumerate(rows)])) for rows in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


def test_what_lies_behind_a_null_does_not_count() -> None:
    note = pa.StringArray.from_buffers(3, pa.py_buffer(struct.pack("<4i", 0, 4, 5, 5)), pa.py_buffer(b"lostx"), pa.py_buffer(b"\6"))
    whole = batch(ROWS)
    assert note.to_pylist() == [None, "x", ""]
    assert hash_of(whole.set_column(3, "note", note)) == hash_of(whole)


@given(
    st.lists(
        st.lists(st.text(st.sampled_from([*map(chr, range(130)), "é", "ギ", "\u2028", "\U0001f3b8"]), max_size=5), max_size=4), min_size=1
    )
)
def test_a_list_of_strings_is_stored_as_json(lists: list[list[str]]) -> None:
    whole = batch([("a", rank, strings, None) for rank, strings in enumerate(lists)])
    expected = [json.dumps(strings, ensure_ascii=False, separators=(",", ":")) for strings in lists]
    assert as_text(whole, TABLE).column("n").to_pylist() == expected
    assert as_text(whole.slice(1), TABLE).column("n").to_pylist() == expected[1:]


@pytest.mark.parametrize("border", [1, 2])
def test_the_order_holds_within_and_across_batches(border: int) -> None:
    hashed = TableHash(TABLE)
    wrong = [ROWS[1], ROWS[0], ROWS[2]]
    with pytest.raises(PermanentError, match=r"row \('a', 2\) comes after \('a', 10\); rows must be unique"):
        for rows in (wrong[:border], wrong[border:]):
            hashed.add(batch(rows))


def test_one_value_is_made_ahead_in_another_thread() -> None:
    made: list[int] = []

    def numbers() -> object:
        for number in range(5):
            assert threading.current_thread() is not threading.main_thread()
            made.append(number)
            yield number

    for number in one_ahead(numbers()):  # type: ignore[arg-type, var-annotated]
        assert len(made) <= number + 2
    assert made == list(range(5))


def test_what_goes_wrong_ahead_is_raised_in_its_place() -> None:
    taken = []
    with pytest.raises(ZeroDivisionError):
        for number in one_ahead(1 // number for number in (1, 1, 0, 1)):
            taken.append(number)
    assert taken == [1, 1]

"""What is hashed of a table: exactly this text, so that a recorded hash stays true."""

from __future__ import annotations

import hashlib
import json
import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridrec.ahead import one_ahead
from hybridrec.content_hash import TableHash, as_text
from hybridrec.errors import BadData
from hybridrec.tables import Column, Table

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
TEXT = '1:a1:218:["Zoë \\"Z\\"","b"]-\n1:a2:102:[]1:x\n2:é1:15:["c"]0:\n'


def batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    schema = TABLE.arrow_schema()
    return pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


@pytest.mark.parametrize("border", [0, 1, 3])
def test_each_field_is_hashed_with_its_length_in_bytes(border: int) -> None:
    hashed = TableHash(TABLE)
    for rows in (ROWS[:border], ROWS[border:]):
        hashed.add(batch(rows))
    assert hashed.hexdigest() == hashlib.sha256(TEXT.encode()).hexdigest()
    assert hashed.rows == 3


def test_a_part_of_a_batch_is_hashed_as_that_part() -> None:
    hashed = TableHash(TABLE)
    texts = hashed.add(batch(ROWS))
    again = TableHash(TABLE)
    again.add_text(texts.slice(0, 1))
    again.add_text(texts.slice(1))
    assert again.hexdigest() == hashed.hexdigest()


@given(
    st.lists(
        st.lists(st.text(st.sampled_from([*map(chr, range(130)), "é", "ギ", "\u2028", "\U0001f3b8"]), max_size=5), max_size=4), min_size=1
    )
)
def test_a_list_of_strings_is_hashed_as_json(lists: list[list[str]]) -> None:
    whole = batch([("a", rank, strings, None) for rank, strings in enumerate(lists)])
    expected = [json.dumps(strings, ensure_ascii=False, separators=(",", ":")) for strings in lists]
    assert as_text(whole, TABLE).column("n").to_pylist() == expected
    assert as_text(whole.slice(1), TABLE).column("n").to_pylist() == expected[1:]


@pytest.mark.parametrize("border", [1, 2])
def test_the_order_holds_within_and_across_batches(border: int) -> None:
    hashed = TableHash(TABLE)
    wrong = [ROWS[1], ROWS[0], ROWS[2]]
    with pytest.raises(BadData, match=r"row \('a', 2\) comes after \('a', 10\); rows must be unique"):
        for rows in (wrong[:border], wrong[border:]):
            hashed.add(batch(rows))


def test_one_value_is_made_ahead_in_another_thread() -> None:
    made: list[int] = []

    def numbers() -> object:
        for number in range(5):
            assert threading.current_thread() is not threading.main_thread()
            made.append(number)
            yield number

    for number in one_ahead(numbers()):  # type: ignore[arg-type]
        assert len(made) <= number + 2  # type: ignore[operator]
    assert made == list(range(5))


def test_what_goes_wrong_ahead_is_raised_in_its_place() -> None:
    taken = []
    with pytest.raises(ZeroDivisionError):
        for number in one_ahead(1 // number for number in (1, 1, 0, 1)):
            taken.append(number)
    assert taken == [1, 1]

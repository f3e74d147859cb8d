"""Real deliveries: dialects, encodings, folders, links, leftovers. The landed rows are right, or a message names the fault."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.reading import delimited, text
from tests.support.delivered_folder import items, land, refusal, titles


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "lone quotes, no quoting",
            'item_id\ttitle\tbrand\nq1\t"24 inch\ta\nq2\toak\tb\nq3\t"17 inch\tc\n',
            ['"24 inch', "oak", '"17 inch'],
        ),
        (
            "an inch sign behind a number",
            'item_id,title\nq1,24" screen\nq2,"Lamp, red"\nq3,17" laptop\n',
            ['24" screen', "Lamp, red", '17" laptop'],
        ),
        ("one lone quote", 'item_id\ttitle\nq1\t"24 inch\nq2\toak\n', ['"24 inch', "oak"]),
        ("quotes written twice", 'item_id,title\nq1,"24"" screen"\nq2,"a ""b"" c"\n', ['24" screen', 'a "b" c']),
        ("backslash before a quote", 'item_id,title\nq1,"say \\"hi\\", ok"\nq2,"b"\n', ['say "hi", ok', "b"]),
        ("quotes written twice, and after a backslash", 'item_id,title\nq1,"say ""hi"""\nq2,"5\\" disk"\n', ['say "hi"', '5" disk']),
        ("backslash that escapes nothing", 'item_id,title\nq1,"C:\\dir\\"\nq2,"b"\n', ["C:\\dir\\", "b"]),
        ("backslash before a delimiter", "item_id\ttitle\nq1\ta\\\tb\nq2\tc\n", ["a\tb", "c"]),
        ("null as MySQL writes it", 'item_id,title\nq1,"say \\"hi\\""\nq2,\\N\n', ['say "hi"', None]),
        ("lines in quotes", 'item_id,title,brand\nq1,"two\nlines, one comma",x\nq2,b,y\n', ["two\nlines, one comma", "b"]),
        ("quoted names, spaces after the delimiter", '"item_id", "title"\n"q1", "a, b"\n', ["a, b"]),
        ("delimiter at the end of all lines", "item_id,title,\nq1,a,\nq2,b,\n", ["a", "b"]),
        ("delimiter at the end of rows", "item_id,title\nq1,a,\nq2,b,,\n", ["a", "b"]),
        ("delimiter at the end of the header", "item_id,title,\nq1,a\nq2,b\n", ["a", "b"]),
        ("a column without a name", ",item_id,title\n0,q1,a\n1,q2,b\n", ["a", "b"]),
        ("an empty column in quotes", 'item_id,title,"",""\nq1,a,,\nq2,b,,\n', ["a", "b"]),
        ("comments and blank lines", "# export of May\n\nitem_id,title\n\nq1,a\n\n\nq2,b\n\n", ["a", "b"]),
        ("Excel names the delimiter", "sep=;\nitem_id;title\nq1;a, b\n", ["a, b"]),
        ("bars between columns", "item_id|title\nq1|a,b;c\n", ["a,b;c"]),
        ("commas in the header of a file with semicolons", "item_id;title;a,b,c,d\nq1;a;x\n", ["a"]),
        ("the old line ends of a Mac", "item_id,title\rq1,a\rq2,b\r", ["a", "b"]),
        ("both kinds of line end", "item_id,title\r\nq1,a\nq2,b\r\n", ["a", "b"]),
        ("no end of the last line", "item_id,title\nq1,a\nq2,b", ["a", "b"]),
        ("further line separators in a text", "item_id,title\nq1,a\u2028b\nq2,c\x0cd\n", ["a\u2028b", "c\x0cd"]),
    ],
)
def test_a_csv_of_any_dialect_lands_whole(delivery: Path, tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    assert titles(items(tmp_path, delivery, content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "either reading gives rows",
            'item_id,title,brand\ni1,a,x\ni2,"24 inch,x\ni3,b,x\ni4,17",x\n',
            "line 3: a quote opens here and closes lines later",
        ),
        (
            "the same where others need quotes",
            'item_id,title,brand\ni0,"a, b",x\ni2,"24 inch,x\ni3,b,x\ni4,17",x\n',
            "line 3: a quote opens here and closes lines later",
        ),
        ("a quote is never closed", 'item_id,title\ni1,"a, b"\ni2,"cut off\n', "line 2 opens a quote that is never closed"),
        ("one of many quotes is missing", 'item_id,title\n"i1","a"\n"i2","b\n"i3","c"\n', "has a quote inside a value in quotes"),
        ("a value too many", "item_id,title\ni1,a\ni2,b,c\n", "line 3 has 3 values, expected 2"),
        ("a comment among the rows", "item_id,title\ni1,a\n# the end\n", "line 3 has 1 values, expected 2"),
        ("a total at the end", "item_id;title\ni1;a\n\n(1 row)\n", "line 4 has 1 values, expected 2"),
    ],
)
def test_a_csv_that_may_be_read_in_two_ways_or_in_none_is_refused_with_its_line(
    delivery: Path, tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    (delivery / "items.csv").write_text(content)
    message = refusal(tmp_path)
    assert f"{delivery / 'items.csv'}" in message
    assert sentence in message
    assert "a quote in a value twice, or deliver Parquet or JSON lines" in message


def test_lines_in_quotes_that_look_like_no_row_are_no_doubt(delivery: Path, tmp_path: Path) -> None:
    content = 'item_id,title,brand\nA-1,"Lamp, warm\nSize 3, weight 4",x\nA-2,"Rug, red\nhand made, wool",y\n'
    assert titles(items(tmp_path, delivery, content)) == ["Lamp, warm\nSize 3, weight 4", "Rug, red\nhand made, wool"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_long_value_lands(delivery: Path, tmp_path: Path, quote: str) -> None:
    long = "lamp " * 500_000  # 2.5 MB
    rows = items(tmp_path, delivery, f"item_id,title\ni1,{quote}{long}{quote}\ni2,b\n")
    assert [len(str(row["title"])) for row in rows] == [2_500_000, 1]


def test_a_line_without_end_is_refused_before_it_fills_the_memory(delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text, delimited):
        monkeypatch.setattr(module, "MAX_LINE", 1 << 21)
    (delivery / "items.csv").write_text("item_id,title\ni0,a\ni1," + "x" * (1 << 22))
    assert "items.csv line 3 has more than 2097152 characters" in refusal(tmp_path)
    (delivery / "items.csv").write_text('item_id,title\ni0,"a, b"\ni1,"' + "x\n" * (1 << 21))
    assert "the record after line 2 has a value of more than 2097152 characters, or opens a quote" in refusal(tmp_path)


def test_rows_of_many_blocks_all_land(delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK", 1000)
    monkeypatch.setattr(delimited, "ROWS", 100)
    plain = "item_id,title\r\n" + "".join(f"i{n},title é {n}\r\n" for n in range(2_000))
    expected = [f"title é {n}" for n in range(2_000)]
    assert titles(items(tmp_path, delivery, plain)) == expected
    assert (
        titles(items(tmp_path, delivery, plain.replace("title é", '"title é').replace("\r\n", '"\r\n').replace('title"', "title")))
        == expected
    )


def test_a_point_groups_thousands_where_the_comma_is_the_decimal_mark(delivery: Path, tmp_path: Path) -> None:
    german = items(tmp_path, delivery, "item_id;title;price\ni1;1.299;39,90\ni2;b;1.299\ni3;c;120\ni4;d;2.5\n")
    assert [row["price"] for row in german] == ["39,90", "1.299,", "120", "2.5"]
    assert titles(german)[0] == "1.299"
    quoted = items(tmp_path, delivery, 'item_id,price\ni1,"39,90"\ni2,1.299\n')
    assert [row["price"] for row in quoted] == ["39,90", "1.299,"]
    english = items(tmp_path, delivery, "item_id;price\ni1;39.90\ni2;1.299\ni3;1,299\n")
    assert [row["price"] for row in english] == ["39.90", "1.299", "1,299"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["items.csv", "items.jsonl"])
def test_text_of_any_marked_encoding_lands(delivery: Path, tmp_path: Path, encoding: str, name: str) -> None:
    content = (
        "item_id,title\ni1,Straße 🪔\ni2,b\n"
        if name == "items.csv"
        else '{"item_id": "i1", "title": "Straße 🪔"}\n{"item_id": "i2", "title": "b"}'
    )
    assert titles(items(tmp_path, delivery, content.encode(encoding), name)) == ["Straße 🪔", "b"]


def test_utf16_of_big_end_first_lands(delivery: Path, tmp_path: Path) -> None:
    assert titles(items(tmp_path, delivery, b"\xfe\xff" + "item_id;title\ni1;é\n".encode("utf-16-be"))) == ["é"]


def test_utf16_without_a_mark_and_what_is_no_text_are_refused(delivery: Path, tmp_path: Path) -> None:
    (delivery / "my items").mkdir()
    (delivery / "items.old name.csv").write_bytes("item_id,title\ni1,b\n".encode("utf-16-le"))
    message = refusal(tmp_path)
    assert "is no text (many of its bytes are 0)" in message
    assert "iconv -f utf-16le -t utf-8 'items.old name.csv'" in message
    (delivery / "items.old name.csv").write_bytes("item_id,title\ni1,b\n".encode("utf-16")[:-1])
    assert "is not UTF-16, as its byte order mark says, from byte" in refusal(tmp_path)


def test_utf16_of_big_end_first_without_a_mark_is_refused_with_its_own_command(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.csv").write_bytes("item_id,title\ni1,b\n".encode("utf-16-be"))
    assert "iconv -f utf-16be -t utf-8 items.csv" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("start", "kind"), [(b"PK\x03\x04", "a ZIP archive"), (b"PAR1", "a Parquet file"), (b"BZh91AY", "packed with bzip2")]
)
@pytest.mark.parametrize("name", ["items.csv", "items.jsonl"])
def test_what_only_has_the_name_of_a_text_is_not_to_be_converted(
    delivery: Path, tmp_path: Path, start: bytes, kind: str, name: str
) -> None:
    (delivery / name).write_bytes(start + bytes(range(128, 256)))
    message = refusal(tmp_path)
    assert f"{name} is {kind}" in message
    assert "iconv" not in message


@pytest.mark.parametrize("name", ["items.csv.gz", "items.csv", "items.jsonl.gz"])
def test_gzip_is_unpacked_whatever_the_name_says(delivery: Path, tmp_path: Path, name: str) -> None:
    content = b'item_id,title\ni1,"a, b"\n' if "csv" in name else b'{"item_id": "i1", "title": "a, b"}'
    assert titles(items(tmp_path, delivery, gzip.compress(content), name)) == ["a, b"]
    (delivery / name).write_bytes(gzip.compress(content * 1000)[:-20])
    assert f"{name} is no whole gzip file; it may be cut off" in refusal(tmp_path)


def test_a_whole_number_that_json_has_as_a_float_keeps_what_it_was(delivery: Path, tmp_path: Path) -> None:
    content = '{"item_id": 196.0}\n{"item_id": 9007199254740993.0}\n{"item_id": 9007199254740993}\n'
    ids = [row["item_id"] for row in items(tmp_path, delivery, content, "items.jsonl")]
    assert ids == ["196", "9.0071992547409920e+15", "9007199254740993"]


def test_half_an_emoji_becomes_a_replacement_character(delivery: Path, tmp_path: Path) -> None:
    lines = [
        r'{"item_id": "s1", "title": "Party hat \ud83d"}',
        r'{"item_id": "s2", "title": "\ude00 first", "categories": ["\ud83d", "lamps \ud83d\ude00"]}',
        r'{"item_id": "s3", "title": "\ud83d\ude00"}',
    ]
    rows = items(tmp_path, delivery, "\n".join(lines), "items.jsonl")
    assert titles(rows) == ["Party hat \ufffd", "\ufffd first", "😀"]
    assert json.loads(str(rows[1]["categories"])) == ["\ufffd", "lamps 😀"]


def test_numbers_of_json_land_as_they_are_written_elsewhere(delivery: Path, tmp_path: Path) -> None:
    rows = items(
        tmp_path, delivery, "\n".join(f'{{"item_id": {n}}}' for n in ("196.0", "196", "1.2e5", "1.5", "90071992547409931")), "items.jsonl"
    )
    assert [row["item_id"] for row in rows] == ["196", "196", "120000", "1.5", "90071992547409931"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('[{"item_id": "i1"},\n{"item_id": "i2"}]', "holds an array; expected one JSON object a line; convert it, as with: jq -c '.[]'"),
        ('{\n "item_id": "i1"\n}', "line 1 is no JSON object (Expecting property name enclosed in double quotes at character 2)"),
        ('{"item_id": "i1"}\n"i2"', "line 2 is no JSON object (the line holds a single value)"),
        ('{"item_id": "i1"}\n{"item_id": ' + "[" * 100_000, "line 2 is no JSON object (a number or a nesting without end)"),
        ('{"item_id": "i1"}\n{"item_id": ' + "9" * 5_000 + "}", "line 2 is no JSON object (a number or a nesting without end)"),
    ],
)
def test_json_that_is_no_object_a_line_is_refused(delivery: Path, tmp_path: Path, content: str, sentence: str) -> None:
    (delivery / "items.json").write_text(content)
    assert sentence in refusal(tmp_path)


def test_int96_reaches_the_year_9999(delivery: Path, tmp_path: Path) -> None:
    times = pa.array([1_767_225_600, 253_402_214_400, -62_135_596_800], pa.timestamp("s"))
    pq.write_table(
        pa.table({"item_id": ["p1", "p2", "p3"], "released_at": times}), delivery / "items.parquet", use_deprecated_int96_timestamps=True
    )
    assert [str(row["released_at"])[:10] for row in land(tmp_path)["items"]] == ["2026-01-01", "9999-12-31", "0001-01-01"]


def test_times_beyond_microseconds_are_refused_and_do_not_wrap(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["p"], "released_at": pa.array([2**62], pa.timestamp("ms"))}), delivery / "items.parquet")
    assert "items.parquet column released_at holds a value that is no timestamp[us, tz=UTC]" in refusal(tmp_path)


def test_bytes_are_text_when_they_are_utf8(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": pa.array([b"p\xc3\xa9"], pa.binary())}), delivery / "items.parquet")
    assert land(tmp_path)["items"] == [{"item_id": "pé"}]
    pq.write_table(pa.table({"item_id": pa.array([b"p\xe9"], pa.binary())}), delivery / "items.parquet")
    assert "column item_id holds a value that is no string (text that is not UTF-8?)" in refusal(tmp_path)


def test_a_list_of_lists_is_refused(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["p"], "categories": [[["a"]]]}), delivery / "items.parquet")
    assert "column categories is of type list; expected text" in refusal(tmp_path)

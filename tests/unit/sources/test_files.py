"""The files source: three kinds of file, and a sentence for each thing that can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.sources import files
from tests.support.delivered_folder import HEADER, ROW, land, refusal
from tests.support.plain_user import as_a_plain_user


def test_csv_lands_as_text(delivery: Path, tmp_path: Path) -> None:
    assert land(tmp_path)["events"] == [{"user_id": "u1", "item_id": "i1", "event_type": "view", "event_at": "2026-01-01T10:00:00Z"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_have_any_usual_delimiter_a_byte_order_mark_and_quoted_line_ends(delivery: Path, tmp_path: Path, delimiter: str) -> None:
    text = "item_id,title\ni1,'a'\n".replace(",", delimiter).replace("'a'", '"two\nlines"')
    (delivery / "items.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert land(tmp_path)["items"] == [{"item_id": "i1", "title": "two\nlines"}]


def test_json_lines_land_as_text_with_lists_as_json(delivery: Path, tmp_path: Path) -> None:
    rows = [{"item_id": "i1", "price": 3.5, "is_available": True, "categories": ["a", "b"]}, {"item_id": 2, "colour": "red"}]
    (delivery / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = land(tmp_path)["items"]
    assert [row["item_id"] for row in found] == ["i1", "2"]
    assert (found[0]["price"], found[0]["is_available"], found[0]["categories"], found[1]["price"]) == ("3.5", "true", '["a", "b"]', None)
    assert "colour" not in found[0]


def test_parquet_keeps_its_types_in_forms_that_spark_reads(delivery: Path, tmp_path: Path) -> None:
    events = pa.table(
        {
            "user_id": pa.array(["u"]).dictionary_encode(),
            "item_id": pa.array([7], pa.uint32()),
            "event_type": pa.array(["view"], pa.large_string()),
            "event_at": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
        }
    )
    (delivery / "events.csv").unlink()
    (delivery / "events" / "2023").mkdir(parents=True)
    pq.write_table(events, delivery / "events" / "2023" / "a.parquet")
    land(tmp_path)
    landed = pq.read_table(tmp_path / "landed" / "events" / "000000.parquet")
    assert landed.schema.types == [pa.string(), pa.decimal128(20, 0), pa.string(), pa.timestamp("us", tz="UTC"), pa.string()]
    assert landed["_source_file"].to_pylist() == ["events/2023/a.parquet"]
    assert landed["event_at"].cast(pa.int64()).to_pylist() == [1_700_000_000_123_456]


def test_no_folder_is_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(files.FOLDER_VARIABLE, raising=False)
    assert f"set {files.FOLDER_VARIABLE} or [sources.files] folder in {home}/hybridrec.toml" in refusal(tmp_path)


def test_the_folder_may_stand_in_the_configuration(delivery: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(files.FOLDER_VARIABLE)
    (home / "hybridrec.toml").write_text(f'[sources.files]\nfolder = "{delivery}"\n')
    assert len(land(tmp_path)["events"]) == 1


def test_missing_folder(delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(files.FOLDER_VARIABLE, "/no/such/folder")
    assert "there is no folder /no/such/folder; correct" in refusal(tmp_path)


def test_no_events(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events.csv").rename(delivery / "sales.csv")
    assert "holds no events; expected events.parquet, events.csv, events.jsonl or a folder events/" in refusal(tmp_path)


def test_unknown_kind_of_file(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.xlsx").write_bytes(b"PK")
    assert "items.xlsx is of no known kind; expected .parquet" in refusal(tmp_path)


def test_empty_file(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.jsonl").touch()
    assert "items.jsonl is empty (0 bytes); deliver it again" in refusal(tmp_path)


def test_truncated_parquet(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": [str(i) for i in range(1000)]}), delivery / "items.parquet")
    whole = (delivery / "items.parquet").read_bytes()
    (delivery / "items.parquet").write_bytes(whole[: len(whole) // 2])
    message = refusal(tmp_path)
    assert "items.parquet is no whole Parquet file" in message
    assert "it may be cut off; deliver it again" in message


def test_parquet_damaged_in_the_middle(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": [str(i * 7919 % 10_007) for i in range(10_000)]}), delivery / "items.parquet", compression="zstd")
    content = bytearray((delivery / "items.parquet").read_bytes())
    content[50:2000] = b"\xff" * 1950
    (delivery / "items.parquet").write_bytes(bytes(content))
    assert "items.parquet is no whole Parquet file" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl"])
def test_text_that_is_not_utf8(delivery: Path, tmp_path: Path, name: str) -> None:
    (delivery / name).write_bytes("item_id,title\ni1,ok é\n".encode() + b"i2,caf" + b"\xe9\n")
    message = refusal(tmp_path)
    assert f"{name} is not UTF-8: line 3, byte 29; convert it, as with: iconv -f cp1252 -t utf-8 {name}" in message


def test_text_that_is_not_utf8_beyond_the_first_block(delivery: Path, tmp_path: Path) -> None:
    start = "item_id,title\n" + "i1,é\n" * 300_000
    (delivery / "items.csv").write_bytes(start.encode() + b"i2,\xff\n")
    assert f"line 300002, byte {len(start.encode()) + 3}; convert" in refusal(tmp_path)


def test_missing_column(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events.csv").write_text("user,item_id,event_type\nu1,i1,view\n")
    message = refusal(tmp_path)
    assert "events.csv has no column user_id, event_at among its 3; rename or add them" in message
    assert "core_events needs user_id, item_id, event_type, event_at" in message


def test_column_named_twice(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.csv").write_text("item_id,title,title\ni1,a,b\n")
    assert "items.csv names a column twice" in refusal(tmp_path)


def test_csv_row_of_another_length(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events.csv").write_text(HEADER + ROW + "u2,i2,view\n")
    assert "events.csv cannot be read as CSV: line 3 has 3 values, expected 4; write values that hold a delimiter" in refusal(tmp_path)


def test_wrong_json_line(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.jsonl").write_text('{"item_id": "i1"}\n\n{"item_id": \n')
    assert "items.jsonl line 3 is no JSON" in refusal(tmp_path)
    (delivery / "items.jsonl").write_text('{"item_id": "i1"}\n["i2"]\n')
    assert "items.jsonl line 2 is no JSON object" in refusal(tmp_path)


def test_column_of_a_type_that_is_no_value(delivery: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["i"], "title": pa.array([{"en": "x"}])}), delivery / "items.parquet")
    assert "items.parquet column title is of type struct" in refusal(tmp_path)


def test_header_without_rows_lands_as_no_rows(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events.csv").write_text(HEADER)
    assert land(tmp_path)["events"] == []


def test_no_permission_to_read(delivery: Path, tmp_path: Path) -> None:
    land(tmp_path)
    (delivery / "events.csv").chmod(0)
    with as_a_plain_user(delivery), pytest.raises(PermanentError) as error:
        files.land(Settings.from_env(), tmp_path / "again", seed=1)
    assert f"no permission to read {delivery / 'events.csv'}; let this user read it" in str(error.value)

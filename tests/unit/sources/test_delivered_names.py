"""Names, folders and links of delivered files: what lands, what is left out, what is refused."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.settings import Settings
from hybridrec.sources import files
from tests.support.delivered_folder import HEADER, ROW, land, land_with_names, refusal, titles

SECRET = "root:$6$rounds$hash:19000"


@pytest.mark.parametrize(
    "name", ["2026-05-01T08:00:00.csv", "a[b]*?{c}.csv", "with space  é.csv", "x" * 250 + ".csv", "%41$HOME'\".csv", "C.CSV", "s3a:__b.csv"]
)
def test_files_may_have_any_name(delivery: Path, tmp_path: Path, name: str) -> None:
    (delivery / "events.csv").unlink()
    (delivery / "events").mkdir()
    (delivery / "events" / name).write_text(HEADER + ROW)
    assert [row["_source_file"] for row in land_with_names(tmp_path)["events"]] == [f"events/{name}"]
    assert [path.name for path in (tmp_path / "landed" / "events").iterdir()] == ["000000.parquet"]


def test_names_that_differ_in_case_or_in_folders_only_do_not_collide(delivery: Path, tmp_path: Path) -> None:
    for name in ("a/b.csv", "a__b.csv", "A__B.csv", "a/b__c/d.csv", "a__b/c/d.csv"):
        (delivery / "events" / name).parent.mkdir(parents=True, exist_ok=True)
        (delivery / "events" / name).write_text(HEADER + ROW)
    assert len(land(tmp_path)["events"]) == 6


def test_a_name_that_is_no_utf8_or_holds_a_line_end_is_made_printable(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events").mkdir()
    (Path(os.fsdecode(os.fsencode(delivery / "events") + b"/caf\xe9\n.csv"))).write_text(HEADER + ROW)
    assert [row["_source_file"] for row in land_with_names(tmp_path)["events"]] == ["events.csv", "events/caf\ufffd\ufffd.csv"]


def spark_folder(folder: Path) -> None:
    """Return what Spark leaves after a job: parts, markers, checksums; a failed attempt's rows."""
    folder.mkdir()
    events = pa.table({"user_id": ["u1"], "item_id": ["i1"], "event_type": ["view"], "event_at": ["2026-05-01"]})
    for name in ("part-00000-a.snappy.parquet", "part-00001-a.snappy.parquet", "_temporary/0/part-00002.parquet", ".hidden/part-3.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(events, folder / name)
    (folder / "_SUCCESS").touch()
    for name in (
        ".part-00000-a.snappy.parquet.crc",
        "part-00004.parquet.inprogress.77aa",
        "part-5.parquet.tmp",
        "part-6.csv.filepart",
        "part-7~",
    ):
        (folder / name).write_bytes(b"cut off")


def test_the_folder_of_a_spark_job_lands_without_its_leftovers(delivery: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (delivery / "events.csv").unlink()
    spark_folder(delivery / "events.parquet")
    with caplog.at_level(logging.WARNING):
        assert len(land(tmp_path)["events"]) == 2
    assert "ignored hidden, unfinished or other files" in caplog.text
    assert "part-5.parquet.tmp" in caplog.text


def test_copies_and_locks_of_a_file_do_not_count(delivery: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = delivery / "items"
    folder.mkdir()
    (folder / "a.csv").write_text("item_id,title\ni1,new\n")
    leftovers = ("~$a.csv", "#a.csv#", "a.csv.bak", "a.old.csv", "b.csv.download/b.csv")
    for name in leftovers:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("item_id,title\ni1,old\ni9,old\n")
    (delivery / "items.orig.csv").write_text("item_id,title\ni9,old\n")
    with caplog.at_level(logging.WARNING):
        assert titles(land(tmp_path)["items"]) == ["new"]
    assert all(name.split("/")[0] in caplog.text for name in (*leftovers, "items.orig.csv"))


def test_empty_parts_of_a_finished_job_are_no_rows(delivery: Path, tmp_path: Path) -> None:
    folder = delivery / "items.csv"
    folder.mkdir()
    (folder / "part-00000.csv").touch()
    (folder / "part-00001.csv").write_text("item_id,title\ni1,a\n")
    assert "part-00000.csv is empty (0 bytes)" in refusal(tmp_path)
    (folder / "_SUCCESS").touch()
    assert [row["item_id"] for row in land(tmp_path)["items"]] == ["i1"]


def test_a_file_without_an_ending_is_of_its_folders_kind(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.parquet").mkdir()
    pq.write_table(pa.table({"item_id": ["i1"]}), delivery / "items.parquet" / "000000_0")
    assert land(tmp_path)["items"] == [{"item_id": "i1"}]


def test_a_folder_in_which_nothing_counts_is_refused(delivery: Path, tmp_path: Path) -> None:
    (delivery / "items.parquet" / "_temporary").mkdir(parents=True)
    assert "items.parquet holds no file that counts (its writer may have failed)" in refusal(tmp_path)


def test_values_in_the_names_of_folders_are_columns(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events.csv").unlink()
    for folder, device in (("event_type=view/device=tv%3A1", "tv:1"), ("event_type=purchase/device=__HIVE_DEFAULT_PARTITION__", None)):
        path = delivery / "events" / "dt=2026-05-01" / folder / "part-0.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"user_id,item_id,event_at\nu1,{device},2026-05-01\n")
    (path.parent / "part-1.jsonl").write_text('{"user_id": "u2", "item_id": "i", "event_at": "2026-05-01"}')
    found = [(row["event_type"], row["device"], row["user_id"]) for row in land(tmp_path)["events"]]
    assert found == [("purchase", None, "u1"), ("purchase", None, "u2"), ("view", "tv:1", "u1")]


@pytest.mark.parametrize("marker", ["_delta_log", ".hoodie"])
def test_a_table_whose_files_may_no_longer_count_is_refused(delivery: Path, tmp_path: Path, marker: str) -> None:
    spark_folder(delivery / "items.parquet")
    (delivery / "items.parquet" / marker).mkdir()
    assert "some of its files may no longer count; deliver an export of it as plain Parquet" in refusal(tmp_path)


def test_what_belongs_to_no_part_is_named(delivery: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (delivery / "item.csv").write_text("item_id\ni1\n")
    (delivery / "items.csv.tmp").write_text("item_id\ni1\n")
    with caplog.at_level(logging.WARNING):
        land(tmp_path)
    assert "ignored files that are unfinished or named neither events, items nor users: item.csv, items.csv.tmp" in caplog.text


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Provide a file that is none of the delivery's business."""
    folder = tmp_path / "delivery-of-others"  # its path begins like the delivered folder's
    folder.mkdir()
    (folder / "events.csv").write_text(HEADER + ROW)
    return folder / "events.csv"


def test_a_link_that_leaves_the_folder_is_refused(delivery: Path, tmp_path: Path, outside: Path) -> None:
    (delivery / "items.csv").symlink_to(outside)
    assert f"{delivery / 'items.csv'} is a link that leaves the delivered folder" in refusal(tmp_path)
    (delivery / "items.csv").unlink()
    (delivery / "items").symlink_to(outside.parent)
    assert "is a link that leaves the delivered folder" in refusal(tmp_path)
    (delivery / "items").unlink()
    (delivery / "items" / "deep").mkdir(parents=True)
    (delivery / "items" / "deep" / "a.csv").symlink_to(Path("../../../delivery-of-others/events.csv"))
    assert "is a link that leaves the delivered folder" in refusal(tmp_path)


def test_links_within_the_folder_count_once_and_circles_end(delivery: Path, tmp_path: Path) -> None:
    (delivery / "events").mkdir()
    (delivery / "events" / "latest.csv").symlink_to(delivery / "events.csv")
    (delivery / "events" / "again").symlink_to(delivery / "events")
    (delivery / "archive").mkdir()
    (delivery / "archive" / "may.csv").write_text(HEADER + ROW)
    (delivery / "events" / "may.csv").symlink_to("../archive/may.csv")
    assert len(land(tmp_path)["events"]) == 2
    (delivery / "events" / "gone.csv").symlink_to("nowhere.csv")
    assert "gone.csv is a link that leads nowhere" in refusal(tmp_path)


def test_a_link_put_there_after_the_file_was_found_is_not_followed(
    delivery: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = files.find_files(delivery, "events")  # type: ignore[attr-defined]
    monkeypatch.setattr(files, "find_files", lambda origin, part: found if part == "events" else [])
    (delivery / "events.csv").unlink()
    (delivery / "events.csv").symlink_to(outside)
    assert "events.csv has changed since it was found" in refusal(tmp_path)


def test_a_pipe_is_refused_and_nobody_waits_for_it(delivery: Path, tmp_path: Path) -> None:
    os.mkfifo(delivery / "items.csv")
    assert "items.csv is neither a file nor a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.csv", f"{SECRET}\n{SECRET}\n"),
        ("items.csv", f"item_id,title\n{SECRET}\n{SECRET},x,y\n"),
        ("items.csv", f'item_id,title\ni0,"a, b"\ni1,"{SECRET}\n'),
        ("items.csv", f"item_id,title,title,{SECRET}\n"),
        ("items.jsonl", f"{SECRET}\n"),
        ("items.jsonl", f'{{"{SECRET}": 1}}\n'),
        ("items.jsonl", f'{{"item_id": "i1"}}\n"{SECRET}"\n'),
        ("items.csv", f"item_id,title\n{SECRET}".encode("utf-16-le")),
        ("items.csv", f"item_id,title\n{SECRET}".encode() + b"\xff"),
        ("items.parquet", SECRET),
    ],
)
def test_a_message_never_quotes_what_stands_in_a_file(
    delivery: Path, tmp_path: Path, name: str, content: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (delivery / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with caplog.at_level(logging.DEBUG):
        message = refusal(tmp_path) + caplog.text
    assert name in message
    assert "root" not in message.replace("pytest-of-root", "")
    assert "0xff" not in message


def test_columns_that_nobody_asked_for_are_counted_and_not_named(delivery: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (delivery / "events.csv").write_text(f"{HEADER.strip()},{SECRET},\n{ROW.strip()},x,\n")
    with caplog.at_level(logging.WARNING):
        land(tmp_path)
    assert "ignored 1 columns that core_events does not have" in caplog.text
    assert "'position'" in caplog.text
    assert SECRET not in caplog.text


def test_a_folder_that_is_itself_a_link_may_be_named(delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "current").symlink_to(delivery)
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path / "current"))
    (tmp_path / "landed").mkdir()
    files.land(Settings.from_env(), tmp_path / "landed", seed=1)
    assert (tmp_path / "landed" / "events" / "000000.parquet").exists()

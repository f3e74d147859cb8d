"""The log is taken line by whole line, once, whatever has happened to the process that wrote it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hybridrec.base.settings import Settings
from hybridrec.feedback import landing, reading
from hybridrec.feedback.append_log import AppendLog
from hybridrec.feedback.landing import LandedLog, keep_taken, land_log, landed_log
from hybridrec.feedback.lines import EVENTS, SERVED
from hybridrec.feedback.reading import KEEP_SECONDS
from tests.support.logging_process import N_LINES, event_line, killed_process, served_line, write_log


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.from_env()


@pytest.fixture
def land(settings: Settings, tmp_path: Path) -> Callable[[], LandedLog | None]:
    """Provide a landing of the log, after which the tables hold what it has taken."""
    numbers = iter(range(100))

    def landed() -> LandedLog | None:
        folder = tmp_path / f"landing{next(numbers)}"
        folder.mkdir()
        land_log(settings, "files", folder)
        found = landed_log(folder)
        if found is not None:
            keep_taken(settings, "files", found)
        return found

    return landed


def ids(tmp_path: Path, number: int, part: str = landing.SERVED_PART, column: str = "recommendation_id") -> list[str]:
    folder = tmp_path / f"landing{number}" / part
    return [value for path in sorted(folder.glob("*.parquet")) for value in pq.read_table(path)[column].to_pylist()]


def named(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


Land = Callable[[], LandedLog | None]


@pytest.mark.parametrize("part", [0.0, 0.4, 0.97, 1.0])
def test_a_process_killed_at_every_write_leaves_no_torn_line_and_its_loss_is_counted(
    settings: Settings, tmp_path: Path, part: float
) -> None:
    died, at_write, torn = True, 0, 0
    while died:
        at_write += 1
        folder, place = tmp_path / f"at{at_write}", settings.served
        folder.mkdir()
        accepted, died = killed_process(place, at_write, part)
        land_log(settings, "files", folder)
        found = landed_log(folder)
        assert found is not None
        rows = [
            value
            for path in sorted((folder / "served").glob("*.parquet"))
            for value in pq.read_table(path)["recommendation_id"].to_pylist()
        ]
        assert rows == named(*range(len(rows)))
        assert found.unreadable == 0
        assert found.lost == {SERVED: accepted - len(rows), EVENTS: 0}
        assert accepted - len(rows) <= 4  # the lines of the write that was cut
        torn += found.torn
        keep_taken(settings, "files", found)
    assert at_write > 15 and len(rows) == N_LINES
    assert (torn > 0) == (0 < part < 1)


def test_the_live_file_is_taken_up_to_its_last_whole_line(settings: Settings, land: Land, tmp_path: Path) -> None:
    log = AppendLog(settings.served)
    log.add(SERVED, [served_line(1), served_line(2)])
    log.flush()
    [path] = log.folder.glob("served-*.jsonl")
    with path.open("ab") as file:
        file.write(served_line(3)[:50])
    found = land()
    assert found is not None and (found.lines, found.torn, found.lost) == ({SERVED: 2}, 0, {SERVED: 0, EVENTS: 0})
    assert land() is None
    with path.open("ab") as file:
        file.write(served_line(3)[50:] + b"\n")
    assert land() is not None
    assert (ids(tmp_path, 0), ids(tmp_path, 2)) == (named(1, 2), named(3))
    log.close()


def test_what_a_failed_ingest_had_landed_is_landed_again(settings: Settings, tmp_path: Path, land: Land) -> None:
    write_log(settings.served, [served_line(1)], [event_line("e1", 1)])
    (tmp_path / "lost").mkdir()
    first = land_log(settings, "files", tmp_path / "lost")
    assert set(first) == {"served", "feedback"}
    assert land() is not None and ids(tmp_path, 0, landing.EVENTS_PART, "event_id") == ["e1"]
    assert land() is None


def test_each_source_takes_the_log_for_itself(settings: Settings, tmp_path: Path, land: Land) -> None:
    for run_id, source in (("night", "files"), ("other", "synthetic")):
        (settings.runs / run_id).mkdir(parents=True)
        (settings.runs / run_id / "run.json").write_text(f'{{"source": "{source}"}}')
    write_log(
        settings.served, [served_line(1), served_line(2, run_id="other"), served_line(3, run_id="gone"), served_line(4, run_id="../x")], []
    )
    land()
    assert ids(tmp_path, 0) == named(1, 3, 4)
    assert ids(tmp_path, 0, landing.FOREIGN_PART) == named(2)
    (tmp_path / "synthetic").mkdir()
    land_log(settings, "synthetic", tmp_path / "synthetic")
    assert pq.read_table(tmp_path / "synthetic" / "served")["recommendation_id"].to_pylist() == named(2, 3, 4)


@pytest.mark.parametrize(
    "bad",
    [
        b"\0" * 40,
        b"",
        b"{",
        b'{"recommendation_id": "1"}',
        b"[1]",
        served_line(5).replace(b'"k":3', b'"k":"three"'),
        served_line(5).replace(b'"item_ids":[', b'"item_ids":[null,'),
        served_line(5).replace(b"2026-01-20", b"2026-13-20"),
        served_line(5).replace(b'"u1"', b'"\xff"'),
        served_line(5).replace(b'"u1"', b"null"),
        served_line(5)[:60] + served_line(6),
    ],
    ids=["zeros", "empty", "half", "short", "a list", "a word", "no item", "no day", "no text", "no user", "two in one"],
)
def test_a_line_that_is_none_of_ours_is_refused_alone(settings: Settings, tmp_path: Path, land: Land, bad: bytes) -> None:
    write_log(settings.served, [served_line(1), bad, served_line(2)], [])
    found = land()
    assert found is not None and (found.unreadable, found.lost[SERVED]) == (1, 0)
    assert ids(tmp_path, 0) == named(1, 2)
    [reason] = ids(tmp_path, 0, landing.UNREADABLE_PART, "reason")
    assert reason.startswith("the line is none of the served log: ")


def test_lines_are_read_block_by_block_and_alike(settings: Settings) -> None:
    lines = [served_line(n, arm_probability=0.25, slot_probabilities=(1.0, 0.125, 1.0), user_id='Zoë "\n') for n in range(50)]
    write_log(settings.served, lines, [])
    [portion] = reading.new_portions(settings.served, reading.LogState())
    whole = [block.rows for block in reading.blocks(portion)]
    parts = [block.rows for block in reading.blocks(portion, 1_000)]
    assert len(whole) == 1 and len(parts) > 10
    assert [row for part in parts for row in part.to_pylist()] == whole[0].to_pylist()
    slowly = reading._one_by_one(b"\n".join(lines) + b"\n", SERVED)
    assert slowly.rows.equals(whole[0]) and (slowly.refused, slowly.n_lines) == ([], 50)


def test_a_field_of_a_later_release_is_left_out(settings: Settings, tmp_path: Path, land: Land) -> None:
    write_log(settings.served, [b'{"new":{"x":1},' + served_line(1)[1:]], [b'{"new":1,' + event_line("e1", 1)[1:]])
    found = land()
    assert found is not None and found.unreadable == 0 and ids(tmp_path, 0) == named(1)


def test_old_files_go_once_they_have_been_taken(settings: Settings, land: Land) -> None:
    write_log(settings.served, [served_line(1)], [])
    [writer] = settings.served.iterdir()
    for path in writer.iterdir():
        os.utime(path, (time.time() - KEEP_SECONDS - 60,) * 2)
    assert land() is not None
    assert writer.exists()  # it was taken just now
    live = AppendLog(settings.served)
    live.add(SERVED, [served_line(2)])
    live.flush()
    found = land()
    assert found is not None and not writer.exists() and live.folder.exists()
    assert set(found.state.files) == {f"{live.folder.name}/served-000001.jsonl"}
    live.close()


def test_without_a_log_nothing_lands(settings: Settings, tmp_path: Path) -> None:
    assert land_log(settings, "files", tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []

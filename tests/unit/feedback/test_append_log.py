"""The log of the look-up: whole lines, files that end, and a count of what is lost."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridrec.feedback.append_log import AppendLog, Limits, LogState
from hybridrec.feedback.lines import EVENTS, SERVED

SMALL = Limits(file_bytes=100, lines=20)


def texts(folder: Path, kind: str = SERVED) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob(f"*/{kind}-*.jsonl"))]


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b'{"number": %03d}' % number for number in range(first, first + count)]


def test_lines_are_written_in_the_background_and_at_the_end(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "served")
    log.start()
    assert log.add(SERVED, numbers(3)) and log.add(EVENTS, numbers(2))
    deadline = time.monotonic() + 10
    while log.state(SERVED).written < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert texts(tmp_path / "served") == [b"\n".join(numbers(3)) + b"\n"]
    log.add(SERVED, numbers(1, 3))
    log.close()
    assert texts(tmp_path / "served") == [b"\n".join(numbers(4)) + b"\n"]
    assert texts(tmp_path / "served", EVENTS) == [b"\n".join(numbers(2)) + b"\n"]
    assert log.state(SERVED) == LogState(4, 0, 0, "")


def test_files_end_by_size_and_by_time(tmp_path: Path) -> None:
    log = AppendLog(tmp_path, SMALL)
    for first in range(0, 20, 4):
        log.add(SERVED, numbers(4, first))
        log.flush()
    assert [text.count(b"\n") for text in texts(tmp_path)] == [8, 8, 4]
    log = AppendLog(tmp_path / "by_time", Limits(file_seconds=0.05))
    for _ in range(2):
        log.add(SERVED, numbers(1))
        log.flush()
        time.sleep(0.1)
    assert len(texts(tmp_path / "by_time")) == 2


def test_two_processes_never_share_a_file_and_the_files_are_private(tmp_path: Path) -> None:
    logs = [AppendLog(tmp_path) for _ in range(2)]
    for log in logs:
        log.add(SERVED, numbers(1))
        log.flush()
    files = list(tmp_path.glob("*/*.jsonl"))
    assert len({path.parent for path in files}) == 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def full(descriptor: int, text: bytes) -> int:
    raise OSError(errno.ENOSPC, "no space left on device")


def half(descriptor: int, text: bytes) -> int:
    WRITE(descriptor, bytes(text)[: len(text) // 2])
    raise OSError(errno.ENOSPC, "no space left on device")


def short(descriptor: int, text: bytes) -> int:
    return WRITE(descriptor, bytes(text)[:7])


WRITE = os.write


@pytest.mark.parametrize("fault", [full, half], ids=["full", "half a write"])
def test_a_full_disk_costs_what_does_not_fit_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., int]
) -> None:
    log = AppendLog(tmp_path, SMALL)
    log.add(SERVED, numbers(2))
    log.flush()
    monkeypatch.setattr(os, "write", fault)
    assert log.add(SERVED, numbers(18, 2))
    log.flush()
    assert log.state(SERVED) == LogState(2, 18, 0, "no space left on device")
    assert log.add(SERVED, numbers(2, 20)) and not log.add(SERVED, numbers(3, 22))
    log.flush()
    assert log.state(SERVED) == LogState(2, 20, 3, "no space left on device")
    assert b"".join(texts(tmp_path)) == b"\n".join(numbers(2)) + b"\n"
    monkeypatch.setattr(os, "write", WRITE)
    log.flush()
    assert log.state(SERVED) == LogState(22, 0, 3, "")
    assert b"".join(texts(tmp_path)) == b"\n".join(numbers(22)) + b"\n"


def test_what_cannot_be_taken_back_stays_the_torn_end_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    log = AppendLog(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", half)
        broken.setattr(os, "ftruncate", refuse)
        log.add(SERVED, numbers(1))
        log.flush()
    log.flush()
    torn, whole = texts(tmp_path)
    assert torn and b"\n" not in torn
    assert whole == b"\n".join(numbers(1)) + b"\n"


def test_a_write_in_parts_gives_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", short)
    log = AppendLog(tmp_path)
    log.add(SERVED, numbers(5))
    log.flush()
    assert texts(tmp_path) == [b"\n".join(numbers(5)) + b"\n"]


def test_a_folder_that_cannot_be_made_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "served"
    place.write_text("a file in its place")
    log = AppendLog(place, SMALL)
    log.start()
    assert log.add(SERVED, numbers(20)) and not log.add(SERVED, numbers(1))
    log.flush()
    assert log.state(SERVED).problem and log.state(SERVED).lost == 1
    place.unlink()
    log.flush()
    log.close()
    assert log.state(SERVED) == LogState(20, 0, 1, "")
    assert b"".join(texts(place)).count(b"\n") == 20


def test_a_file_that_somebody_removes_is_begun_anew(tmp_path: Path) -> None:
    log = AppendLog(tmp_path)
    log.add(SERVED, numbers(1))
    log.flush()
    next(tmp_path.glob("*/*.jsonl")).unlink()
    log.add(SERVED, numbers(1, 1))
    log.flush()
    assert texts(tmp_path) == [numbers(1, 1)[0] + b"\n"]

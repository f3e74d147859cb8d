"""Locks between processes: one holder at a time, and none that outlives its process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hybridrec.storage import locks

HOLD = """
import os, time
from pathlib import Path
from hybridrec.storage import locks

with locks.exclusive(Path({path!r})):
    child = os.fork() if {forks} else 0
    if child or not {forks}:
        print(child, flush=True)
    time.sleep(60)
"""


@contextmanager
def held(path: Path, forks: bool = False) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Let another process hold the lock until it is killed; yields it and the id of its child, which outlives it."""
    code = HOLD.format(path=str(path), forks=forks)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            if child:
                os.kill(child, signal.SIGKILL)


def take(path: Path, seconds: float) -> None:
    with locks.exclusive(path, seconds=seconds, failure=f"{path} is taken"):
        pass


def test_another_process_waits_until_the_holder_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "new" / "x.lock"
    with held(path) as (process, _):
        with pytest.raises(TimeoutError, match=r"x\.lock is taken"):
            take(path, 0.2)
        threading.Timer(0.2, process.kill).start()
        with locks.exclusive(path, waiting="another is at work"):
            assert process.wait(10) == -signal.SIGKILL
        with locks.exclusive(path, waiting="another is still at work"):
            pass
    assert [record.message for record in caplog.records] == ["another is at work"]


def test_a_child_that_outlives_the_holder_does_not_hold_the_lock(tmp_path: Path) -> None:
    with held(tmp_path / "x.lock", forks=True) as (process, child):
        process.kill()
        process.wait()
        take(tmp_path / "x.lock", 10)
        assert psutil.Process(child).status() != psutil.STATUS_ZOMBIE


def test_threads_of_a_process_take_turns(tmp_path: Path) -> None:
    taken: list[str] = []

    def attempt() -> None:
        try:
            take(tmp_path / "x.lock", 0.1)
        except TimeoutError as refusal:
            taken.append(str(refusal))

    with locks.exclusive(tmp_path / "x.lock"):
        other = threading.Thread(target=attempt)
        other.start()
        other.join()
    assert taken == [f"{tmp_path}/x.lock is taken"]
    take(tmp_path / "x.lock", 0)


def test_the_file_stays_and_is_private(tmp_path: Path) -> None:
    path, before = tmp_path / "x.lock", os.umask(0o077)
    try:
        take(path, 0)
    finally:
        os.umask(before)
    made = path.stat()
    take(path, 0)
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (made.st_ino, 0o600)


def test_a_file_that_cannot_be_made_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "x.lock").mkdir()
    with pytest.raises(IsADirectoryError, match=r"x\.lock"), locks.exclusive(tmp_path / "x.lock"):
        pass

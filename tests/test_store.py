"""Datasets are visible whole or not at all, whoever is killed and whoever comes second."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hybridrec import store


def write(folder: Path, text: str) -> None:
    with store.staged(folder) as attempt:
        (attempt / "a.txt").write_text(text)
        (attempt / "b.txt").write_text(text)


def read(folder: Path) -> set[str]:
    return {path.read_text() for path in store.committed_files(folder, ".txt")}


def test_nothing_is_there_before_the_first_commit(tmp_path: Path) -> None:
    with pytest.raises(store.NotCommitted, match="run the job that writes it"):
        store.read_manifest(tmp_path / "x")


def test_a_commit_replaces_the_content_and_removes_the_old_files(tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "two")
    assert read(tmp_path) == {"two"}
    assert len(list(tmp_path.glob("attempt-*"))) == 1


def test_a_failed_writer_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with pytest.raises(OSError, match="full"), store.staged(tmp_path) as attempt:
        (attempt / "a.txt").write_text("two")
        raise OSError(errno.ENOSPC, "full")
    assert read(tmp_path) == {"one"}
    assert len(list(tmp_path.glob("attempt-*"))) == 1


def test_of_two_writers_at_once_the_last_to_commit_wins_whole(tmp_path: Path) -> None:
    with store.staged(tmp_path) as early:
        (early / "a.txt").write_text("early")
        write(tmp_path, "late")
        (early / "b.txt").write_text("early")
    assert read(tmp_path) == {"early"}
    assert len(store.committed_files(tmp_path, ".txt")) == 2


def test_equal_content_has_an_equal_hash(tmp_path: Path) -> None:
    write(tmp_path / "x", "same")
    write(tmp_path / "y", "same")
    write(tmp_path / "z", "other")
    hashes = [store.read_manifest(tmp_path / name).content_hash for name in "xyz"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_superseded_files_stay_as_long_as_asked(tmp_path: Path) -> None:
    for text in ("one", "two", "three", "four"):
        attempt = store.new_attempt(tmp_path)
        (attempt / f"{text}.txt").write_text(text)
        store.commit(tmp_path, store.Manifest(store.files_below(tmp_path, attempt)), keep=2)
    assert {path.stem for path in tmp_path.rglob("*.txt")} == {"two", "three", "four"}


def test_orphans_of_killed_writers_go_after_a_day_and_young_attempts_stay(tmp_path: Path) -> None:
    old, young = store.new_attempt(tmp_path), store.new_attempt(tmp_path)
    os.utime(old, (time.time() - 2 * store.ORPHAN_SECONDS,) * 2)
    write(tmp_path, "x")
    assert not old.exists()
    assert young.exists()


def test_a_reader_never_sees_a_mix_while_writers_replace(tmp_path: Path) -> None:
    write(tmp_path, "0")
    seen: list[set[str]] = []
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            try:
                seen.append(read(tmp_path))
            except FileNotFoundError:
                continue  # superseded while we read: the reader starts again

    thread = threading.Thread(target=poll)
    thread.start()
    for number in range(1, 60):
        write(tmp_path, str(number))
    stop.set()
    thread.join()
    assert seen
    assert all(len(texts) == 1 for texts in seen)


KILLED_WRITER = """
import sys, pathlib
from hybridrec import store
folder = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for number in range(10**6):
    with store.staged(folder) as attempt:
        for name in ("a.txt", "b.txt"):
            (attempt / name).write_text(str(number))
"""


@pytest.mark.parametrize("delay", [0.003, 0.011, 0.037, 0.083])
def test_sigkill_at_any_moment_leaves_a_whole_state(tmp_path: Path, delay: float) -> None:
    write(tmp_path, "first")
    with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
    assert len(read(tmp_path)) == 1
    assert len(store.committed_files(tmp_path, ".txt")) == 2
    write(tmp_path, "after")
    assert read(tmp_path) == {"after"}


def test_numpy_scalars_stay_numbers_in_json(tmp_path: Path) -> None:
    import numpy as np

    store.write_json(tmp_path / "x.json", {"passed": np.bool_(False), "share": np.float32(0.5), "n": np.int64(3), "at": tmp_path})
    assert json.loads((tmp_path / "x.json").read_text()) == {"passed": False, "share": 0.5, "n": 3, "at": str(tmp_path)}


def test_a_parquet_hash_follows_the_rows_and_not_the_footer(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.table({"item_id": ["a", "b"], "n": [1, 2]})
    pq.write_table(rows, tmp_path / "plain")
    pq.write_table(rows.replace_schema_metadata({"written": "by another process"}), tmp_path / "other_footer")
    pq.write_table(rows.rename_columns(["item_id", "m"]), tmp_path / "other_name")
    pq.write_table(rows.slice(0, 1), tmp_path / "other_rows")
    assert (tmp_path / "plain").read_bytes() != (tmp_path / "other_footer").read_bytes()
    hashes = {path.name: store.hash_parquet(path) for path in tmp_path.iterdir()}
    assert hashes["plain"] == hashes["other_footer"]
    assert len(set(hashes.values())) == 3

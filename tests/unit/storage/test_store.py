"""Datasets are visible whole or not at all, on a disk and on an object store, whichever writer is killed or comes second."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hybridrec.storage import shared_files, store
from tests.support import object_store


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, home: Path) -> Path:
    """Provide a dataset without any content, on this disk or mirrored from an object store."""
    if request.param == "s3":
        request.getfixturevalue("object_storage")
    return home / "runs" / "night" / "x"


def write(folder: Path, text: str) -> None:
    with store.staged(folder) as attempt:
        (attempt / "a.txt").write_text(text)
        (attempt / "b.txt").write_text(text)


def read(folder: Path) -> set[str]:
    return {path.read_text() for path in store.committed_files(folder, ".txt")}


def forget(folder: Path) -> None:
    """Leave this machine as one that has read nothing yet, where the disk is but a mirror."""
    if "HYBRIDREC_STORAGE" in os.environ:
        shutil.rmtree(folder, ignore_errors=True)


def attempts(folder: Path) -> set[str]:
    """Return the attempts that lie where a dataset is kept."""
    if "HYBRIDREC_STORAGE" not in os.environ:
        return {path.name for path in folder.glob("attempt-*")}
    address = f"{os.environ['HYBRIDREC_STORAGE']}/{folder.relative_to(os.environ['HYBRIDREC_HOME'])}"
    return {name.split("/")[0] for name in object_store.objects(address) if name not in (store.MANIFEST, store.PENDING)}


def test_nothing_is_there_before_the_first_commit(folder: Path) -> None:
    with pytest.raises(store.NotCommitted, match="run the job that writes it"):
        store.read_manifest(folder)


def test_a_commit_replaces_the_content_and_removes_the_old_files(folder: Path) -> None:
    write(folder, "one")
    write(folder, "two")
    forget(folder)
    assert read(folder) == {"two"}
    assert len(attempts(folder)) == 1 == len(list(folder.glob("attempt-*")))


def test_a_failed_writer_leaves_the_old_content_and_no_litter(folder: Path) -> None:
    write(folder, "one")
    with pytest.raises(OSError, match="full"), store.staged(folder) as attempt:
        (attempt / "a.txt").write_text("two")
        raise OSError(errno.ENOSPC, "full")
    assert len(attempts(folder)) == 1 == len(list(folder.glob("attempt-*")))
    forget(folder)
    assert read(folder) == {"one"}


def test_of_two_writers_at_once_the_last_to_commit_wins_whole(folder: Path) -> None:
    with store.staged(folder) as early:
        (early / "a.txt").write_text("early")
        write(folder, "late")
        (early / "b.txt").write_text("early")
    forget(folder)
    assert read(folder) == {"early"}
    assert len(store.committed_files(folder, ".txt")) == 2


def test_equal_content_has_an_equal_hash(tmp_path: Path) -> None:
    write(tmp_path / "x", "same")
    write(tmp_path / "y", "same")
    write(tmp_path / "z", "other")
    hashes = [store.read_manifest(tmp_path / name).content_hash for name in "xyz"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_superseded_files_stay_as_long_as_asked(folder: Path) -> None:
    names = {}
    for text in ("one", "two", "three", "four"):
        attempt = store.new_attempt(folder)
        (attempt / f"{text}.txt").write_text(text)
        names[text] = store.files_below(folder, attempt)
        store.commit(folder, store.Manifest(names[text]), keep=2)
    assert store.read_manifest(folder).superseded == (names["three"], names["two"])
    assert attempts(folder) == {names[text][0].split("/")[0] for text in ("two", "three", "four")}
    forget(folder)
    assert [path.read_text() for path in shared_files.fetch(folder / name for name in names["two"])] == ["two"]
    with pytest.raises(FileNotFoundError):
        [path.read_text() for path in shared_files.fetch(folder / name for name in names["one"])]


def test_a_file_that_stays_is_not_written_again(folder: Path) -> None:
    write(folder, "old")
    old = store.read_manifest(folder).files
    attempt = store.new_attempt(folder)
    (attempt / "c.txt").write_text("new")
    store.commit(folder, store.Manifest((old[0], *store.files_below(folder, attempt))))
    forget(folder)
    assert read(folder) == {"old", "new"}
    write(folder, "newest")
    assert len(attempts(folder)) == 1


def test_a_state_says_what_it_was_made_from(folder: Path) -> None:
    assert not store.is_made_from(folder, "")
    write(folder, "old")
    with store.staged(folder, keep=1, made_from="a delivery") as attempt:
        (attempt / "a.txt").write_text("new")
    assert store.is_made_from(folder, "a delivery")
    state = store.read_manifest(folder)
    store.commit(folder, replace(state, made_from="another"), keep=1)
    forget(folder)
    assert store.read_manifest(folder) == replace(state, made_from="another")
    assert not store.is_made_from(folder, "a delivery")
    assert read(folder) == {"new"}
    assert [path.read_text() for path in shared_files.fetch(folder / name for name in state.superseded[0])] == ["old", "old"]


def test_orphans_of_killed_writers_go_after_a_day_and_young_attempts_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = store.new_attempt(folder)
    (orphan / "a.txt").write_text("half of it")
    shared_files.put(folder, [f"{orphan.name}/a.txt"])
    write(folder, "today")
    assert orphan.name in attempts(folder)
    now = time.time()
    monkeypatch.setattr(store.time, "time", lambda: now + 2 * store.ORPHAN_SECONDS)  # type: ignore[attr-defined]
    write(folder, "in two days")
    assert not orphan.exists()
    assert len(attempts(folder)) == 1


def test_a_reader_never_sees_a_mix_while_writers_replace(folder: Path) -> None:
    write(folder, "0")
    seen: list[set[str]] = []
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            try:
                seen.append(read(folder))
            except FileNotFoundError:
                continue  # superseded while we read: the reader starts again

    thread = threading.Thread(target=poll)
    thread.start()
    for number in range(1, 30):
        write(folder, str(number))
    stop.set()
    thread.join()
    assert seen
    assert all(len(texts) == 1 for texts in seen)


KILLED_WRITER = """
import sys, pathlib
from hybridrec.storage import store
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


def propose(folder: Path, text: str) -> store.Manifest:
    with store.attempted(folder) as attempt:
        (attempt / "a.txt").write_text(text)
        manifest = store.Manifest(store.files_below(folder, attempt), 1, text)
        store.propose(folder, manifest)
    return manifest


def test_a_candidate_counts_once_it_is_accepted(folder: Path) -> None:
    first = propose(folder, "one")
    assert not store.is_committed(folder)
    assert store.newest(folder) == first
    store.accept(folder, first)
    forget(folder)
    assert (read(folder), store.pending(folder)) == ({"one"}, None)
    propose(folder, "cut off")
    second = propose(folder, "two")  # the candidate before is gone with its files
    forget(folder)
    assert read(folder) == {"one"}
    assert len(attempts(folder)) == 2
    store.accept(folder, second)
    forget(folder)
    assert read(folder) == {"two"}
    assert len(attempts(folder)) == 1


def test_a_commit_leaves_a_candidate_alone(folder: Path) -> None:
    waiting = propose(folder, "waits")
    write(folder, "one")
    write(folder, "two")
    forget(folder)
    assert read(folder) == {"two"}
    store.accept(folder, waiting)
    forget(folder)
    assert read(folder) == {"waits"}


def test_killed_between_its_steps_accepting_is_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "one")
    waiting = propose(folder, "two")
    with monkeypatch.context() as killed:
        killed.setattr(shared_files, "remove_file", lambda path: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            store.accept(folder, waiting)
    forget(folder)
    assert read(folder) == {"two"}
    store.accept(folder, waiting)
    assert store.pending(folder) is None
    assert read(folder) == {"two"}


def test_what_is_proposed_while_a_check_runs_goes_on_waiting(folder: Path) -> None:
    checked = propose(folder, "checked")
    store.accept(folder, checked)
    checked = propose(folder, "checked again")
    with store.attempted(folder) as attempt:
        (attempt / "a.txt").write_text("newer")
        newer = store.Manifest((*checked.files, *store.files_below(folder, attempt)), 1, "newer")
        store.propose(folder, newer)
    store.accept(folder, checked)
    assert read(folder) == {"checked again"}
    assert store.pending(folder) == newer

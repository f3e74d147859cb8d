"""Each file-system call of the store and of the SQLite target fails in turn: readers see a whole version, the next run succeeds.

A fault strikes the first call that it can happen to, then the second, until a run ends without having met it. `make test` tries a sample of
these points, `make test-system` each of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from hybridrec.storage import store
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import PUBLISHED
from tests.support.faults.faulty_disk import Fault, Kind
from tests.support.faults.tasks_that_fail import DATABASE, DATASET, KEEP, read_figures, read_files, read_target
from tests.support.faults.writing_process import End, Server, Work, server
from tests.support.sqlite_tables import OF_NO_VERSION

on_linux = pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="knows the calls of Linux on x86_64 only")
NEW, NOTHING = "4", "nothing"
LANES = 2  # points tried at the same time
OLD = 2 * store.ORPHAN_SECONDS  # type: ignore[attr-defined]


class Trial(NamedTuple):
    """A kind of failure, once or for good; beside: a reader has the files open. SQLite tidies up after the last reader."""

    kind: Kind
    lasting: bool = False
    beside: bool = False

    def __str__(self) -> str:
        return f"{self.kind}{' for good' if self.lasting else ''}{' beside a reader' if self.beside else ''}"


FIRST = (Trial("full", lasting=True), Trial("killed"))
ALL = (
    *(Trial(kind, lasting, beside=lasting) for kind in ("error", "full", "short") for lasting in (False, True)),
    *(Trial("killed", beside=beside) for beside in (False, True)),
    Trial("torn", beside=True),
)


@dataclass(frozen=True)
class Scenario:
    """A writer and its readers.

    write, read: tasks. open_reader: of a folder, a reader that has begun and looks again when it is called. left: raises if an unneeded
    file is there. before: the versions written before the one that meets the failure. trials: what it meets.
    """

    write: str
    read: str
    open_reader: Callable[[Path], Callable[[], str]]
    left: Callable[[Path], None]
    before: tuple[str, ...] = ("1", "2", "3")  # so that there is something to replace and to remove
    trials: tuple[Trial, ...] = ALL


@dataclass(frozen=True)
class Lane:
    """Tests each point in turn."""

    writer: Server
    reader: Server


@pytest.fixture(scope="module")
def disk_lanes() -> Iterator[SimpleQueue[Lane]]:
    free: SimpleQueue[Lane] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(LANES):
            free.put(Lane(stack.enter_context(server()), stack.enter_context(server(plain=True))))
        yield free


@pytest.fixture
def folder() -> Iterator[Path]:
    """Provide a folder, in memory if possible: the failing disk is simulated anyway."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as found:
        Path(found).chmod(0o755)
        yield Path(found).resolve()


def manifest_reader(folder: Path) -> Callable[[], str]:
    """Return a reader who has read the manifest and opens the files later."""
    manifest = store.read_manifest(folder / DATASET)
    return lambda: read_files(folder / DATASET, manifest)


def days_reader(folder: Path) -> Callable[[], str]:
    manifest = store.read_manifest(folder / DATASET)
    texts = [(folder / DATASET / name).read_text() for name in manifest.files]

    def read() -> str:
        assert [(folder / DATASET / name).read_text() for name in manifest.files] == texts
        return manifest.content_hash

    return read


def sqlite_reader(folder: Path) -> Callable[[], str]:
    """Return a service with its connection."""
    target = SqliteTarget(folder / DATABASE)
    return lambda: read_target(target)


def only_named_files(folder: Path) -> None:
    """Require that a dataset has only the files of its state and of the one before."""
    manifest = store.read_manifest(folder / DATASET)
    assert len(manifest.superseded) <= 1
    named = {store.MANIFEST, *manifest.files, *(name for files in manifest.superseded for name in files)}
    found = {path.relative_to(folder / DATASET).as_posix() for path in (folder / DATASET).rglob("*") if path.is_file()}
    assert found == named
    assert {path.name for path in (folder / DATASET).glob("attempt-*")} == {name.split("/")[0] for name in named - {store.MANIFEST}}


def only_figures(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["figures.json"]


def only_kept_tables(folder: Path) -> None:
    assert {path.name.removeprefix("recommendations") for path in folder.iterdir()} == {".db", ".db-wal", ".db-shm", ".lock"}
    db = sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name not in OF_NO_VERSION]
    [(versions,)] = db.execute("SELECT COUNT(*) FROM publications WHERE state <> 'dropped'")
    db.close()
    assert versions <= KEEP
    assert len(tables) == versions * len(PUBLISHED)


SCENARIOS = {
    "artefact": Scenario("write_artefact", "read_artefact", manifest_reader, only_named_files),
    "days": Scenario("write_days", "read_days", days_reader, only_named_files),
    "figures": Scenario("write_figures", "read_figures", lambda folder: lambda: read_figures(str(folder)), only_figures),
    "sqlite": Scenario("publish_sqlite", "read_sqlite", sqlite_reader, only_kept_tables),
}
SCENARIOS |= {f"first {name}": replace(SCENARIOS[name], before=(), trials=FIRST) for name in ("artefact", "sqlite")}


def every_point(lane: Lane, scenario: Scenario, folder: Path, trial: Trial, step: int) -> int:
    """Try each point of one kind of failure, or each step-th, always on the same state; returns how many were tried."""
    (folder / "before").mkdir(parents=True)
    for version in scenario.before:
        lane.writer.succeed(Work(scenario.write, str(folder / "before"), version))
    old = scenario.before[-1] if scenario.before else NOTHING
    for tried, at in enumerate(count(1, step)):
        here = shutil.copytree(folder / "before", folder / str(at))
        reader = scenario.open_reader(here) if trial.beside else lambda: old
        assert reader() == old
        end = lane.writer.do(Work(scenario.write, str(here), NEW, Fault(trial.kind, at, trial.lasting)))
        point = f"{scenario.write}, {trial}, at {at}: {end}"
        if not end.struck:
            assert (end.error, end.signal) == ("", 0), point
            assert at - step <= end.calls < at, point  # no call of a whole run lies beyond the last one struck
            assert look(lane, scenario, here) == NEW
            return tried
        try:
            tell_the_truth(end, trial.kind, here)
            fresh = look(lane, scenario, here)
            assert fresh in ((old, NEW) if end.error or end.signal else (NEW,))
            assert reader() in (old, fresh)
            age(here)
            lane.writer.succeed(Work(scenario.write, str(here), NEW))
            assert look(lane, scenario, here) == NEW
            scenario.left(here)
        except Exception as error:
            raise AssertionError(point) from error
        shutil.rmtree(here)
    raise AssertionError("a run without end")


def look(lane: Lane, scenario: Scenario, folder: Path) -> object:
    """Return the view of a new reader.

    NOTHING if it is told so. A half-made SQLite file cannot be read without write permission, and the reader may be told so.
    """
    reader = lane.reader if scenario.before else lane.writer
    end = reader.do(Work(scenario.read, str(folder)))
    assert not end.error or (not scenario.before and ("nothing " in end.sentence or "no permission" in end.sentence)), end
    return NOTHING if end.error else end.result


def tell_the_truth(end: End, kind: Kind, folder: Path) -> None:
    """Require a retryable failure that names its cause, except for a few operations whose cause SQLite hides."""
    if kind in ("killed", "torn"):
        assert end.signal == signal.SIGKILL
    elif end.error:
        assert "OSError" in end.error.split()
        assert any(words in end.sentence for words in (str(folder), "the disk", "Input/output error"))
        silent = any(words in end.struck for words in ("sync", "-shm")) or "unable to open" in end.sentence
        assert kind == "error" or silent or "no space left for" in end.sentence


def age(folder: Path) -> None:
    """Let the next run come two days later: what killed writers have left may go then."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - OLD,) * 2)


def try_points(name: str, step: int, lanes: SimpleQueue[Lane], folder: Path) -> str:
    """Try each point of a scenario, or each step-th, with each kind of failure; returns a line with what was counted."""
    scenario = SCENARIOS[name]

    def tried(trial: Trial) -> int:
        lane = lanes.get()
        try:
            return every_point(lane, scenario, folder / str(trial), trial, step)
        finally:
            lanes.put(lane)

    with ThreadPoolExecutor(LANES) as pool:
        tries = {trial: pool.submit(tried, trial) for trial in scenario.trials}
    points = {trial: tried.result() for trial, tried in tries.items()}
    assert min(points.values()) > 0
    return f"{name}: {sum(points.values())} points of failure tried: {', '.join(f'{trial} {n}' for trial, n in points.items())}"

"""Jobs as processes of their own, some at a time, as a scheduler would run them; with their time and memory.

The processes are forked from one that has imported the large libraries: of a small model's fit their import was a third.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import psutil

from hybridrec.base.errors import PermanentError
from hybridrec.execution import job

log = logging.getLogger(__name__)
SAMPLE_SECONDS = 0.5
MIB = 2**20
FORKS = get_context("forkserver")
LIBRARIES = ("lightgbm", "pandas", "pyarrow.dataset", "scipy.stats", "sklearn.feature_extraction.text", "torch")
FORKS.set_forkserver_preload([*LIBRARIES, "hybridrec.offline.offline_night", "hybridrec.training.fits"])


@dataclass(frozen=True)
class Step:
    """Cost of a group of jobs: wall seconds, and the memory of all processes at their peak, MiB."""

    name: str
    seconds: float
    peak_mib: float


@dataclass
class Steps:
    """Runs jobs and remembers what they took. logs: folder of the jobs' output. environment: beyond this process's own."""

    logs: Path
    environment: dict[str, str]
    at_once: int
    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block as one step."""
        started = time.perf_counter()
        log.info("%s ...", name)
        with _PeakMemory() as memory:
            yield
        self.done.append(Step(name, round(time.perf_counter() - started, 1), round(memory.peak / MIB)))
        log.info("%s: %.1f s, at most %.0f MiB", name, self.done[-1].seconds, self.done[-1].peak_mib)

    def run(self, name: str, commands: Sequence[Sequence[str]], optional: bool = False) -> None:
        """Run jobs (a job's name and its flags each) as one step; a failure ends it all, unless these are optional.

        PermanentError where a job says PermanentError, RuntimeError for any other failure; both with the end of the job's log.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.step(name):
            waiting = list(commands)
            running: list[_Running] = []
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    running.append(self._start(waiting.pop(0)))
                time.sleep(0.05)
                for ended in [one for one in running if one.process.exitcode is not None]:
                    running.remove(ended)
                    _require_success(ended, optional, running)

    def _start(self, command: Sequence[str]) -> _Running:
        path = self.logs / f"{'.'.join(part for part in command if not part.startswith('--'))}.log"
        environment = os.environ | job.environment() | self.environment
        with _environment(environment):  # libraries read the number of threads when they are imported
            forkserver.ensure_running()
        process = FORKS.Process(target=_run_job, args=(tuple(command), path, environment))
        process.start()
        return _Running(process, path)


class _Running(NamedTuple):
    """A job's process and the target of its output."""

    process: ForkServerProcess
    log: Path


def _run_job(command: tuple[str, ...], log: Path, environment: dict[str, str]) -> None:
    """Run `python -m jobs.<name> <flags>` in this process."""
    os.environ.clear()
    os.environ.update(environment)
    with log.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.argv = list(command)
    runpy.run_module(f"jobs.{command[0]}", run_name="__main__", alter_sys=True)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _require_success(ended: _Running, optional: bool, others: Sequence[_Running]) -> None:
    code, path = ended.process.exitcode, ended.log
    if code in (0, job.EXIT_SKIPPED):
        log.info("  %s", (path.read_text(errors="replace").splitlines() or [""])[-1].split("hybridrec: ")[-1])
        return
    reason = f"{path.stem} ended with code {code}: {_last_words(path)} (the whole log: {path})"
    if optional:
        log.warning("  goes on without %s", reason)
        return
    for other in others:
        other.process.terminate()
    raise PermanentError(reason) if code == job.EXIT_PERMANENT else RuntimeError(reason)


def _last_words(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    said = [line for line in lines if line.startswith("PermanentError") or "failed:" in line]
    return (said or lines or ["no output"])[-1][:500]


class _PeakMemory:
    """Samples the resident memory of this process and all below it, shared pages counted once for each."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            me = psutil.Process()
            total = 0.0
            for process in [me, *me.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            self.peak = max(self.peak, total)
            if self._stop.wait(SAMPLE_SECONDS):
                return

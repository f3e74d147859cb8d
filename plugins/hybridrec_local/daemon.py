"""A process that outlives the command that starts it: log, pid file, end."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hybridrec.base.private_files import UMASK
from hybridrec.execution import processes
from hybridrec.storage import store
from hybridrec_local.process import ROOT

TERM_SECONDS = 20.0


class CannotStart(Exception):
    """A service cannot start; the message says what to do."""


@dataclass(frozen=True)
class Daemon:
    """One process by the name of its files, whether it runs or not."""

    name: str
    log: Path
    pid_file: Path

    def process(self) -> psutil.Process | None:
        """Return its process if it lives and is ours."""
        try:
            saved = json.loads(self.pid_file.read_text())
        except FileNotFoundError:
            return None
        return processes.alive(saved["pid"], saved["started_at"])

    def start(self, command: Sequence[str], environment: Mapping[str, str], user: str | None = None) -> subprocess.Popen[bytes]:
        """Start it in the project's root. user: whom root becomes for it."""
        with self.log.open("ab") as out:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                user=user,
                group=user,
                umask=UMASK,
            )
        store.write_json(self.pid_file, {"pid": child.pid, "started_at": psutil.Process(child.pid).create_time()})
        return child

    def stop(self, ask: int = signal.SIGTERM) -> bool:
        """Stop it if it runs; returns whether it did. ask: the signal that asks it to end."""
        process = self.process()
        if process:
            stop_process(process, ask)
        self.pid_file.unlink(missing_ok=True)
        return process is not None

    def require_alive(self, alive: bool) -> None:
        """Raise CannotStart with the end of its log unless it lives."""
        if not alive:
            raise CannotStart(f"{self.name} does not come up; the end of {self.log}:\n{tail(self.log)}")


def stop_process(process: psutil.Process, ask: int = signal.SIGTERM) -> None:
    """End a process and all that it started: asked, asked again, killed."""
    family = [*process.children(recursive=True), process]
    for _ in range(2):  # Airflow's processes have been seen to need a second SIGTERM
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(ask)
        if not psutil.wait_procs([process], timeout=TERM_SECONDS / 2)[1]:
            break
    left = [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    for act, seconds in (("terminate", 3.0), ("kill", 5.0)):
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(member, act)()
        left = psutil.wait_procs(left, timeout=seconds)[1]


def tail(path: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def say(text: str) -> None:
    """Write a line to the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

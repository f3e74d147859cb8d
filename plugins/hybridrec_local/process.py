"""One job as a child process: its command line, its output, its end."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridrec.execution import job, task_records
from hybridrec.execution.spark import SESSION_VARIABLE

ROOT = Path(__file__).parent.parent.parent
TAIL_LINES = 12
TERM_SECONDS = 3.0  # Airflow kills a task 5 s after it has asked it to end
PR_SET_PDEATHSIG = 1
Flag = str | int | float | bool | Sequence[str] | None


def command_line(name: str, flags: Mapping[str, Flag]) -> list[str]:
    """Return the command that runs a job, as a list: no shell ever reads it."""
    return [sys.executable, "-m", f"jobs.{name}", *flag_arguments(flags)]


def flag_arguments(flags: Mapping[str, Flag]) -> list[str]:
    """Return flags as a job's command line wants them.

    Empty values and None, also as a template renders them, are left out and so take the job's default. True and False
    become --x and --no-x, a list is joined by commas. The form --x=value keeps a value that begins with a dash a value.
    """
    arguments: list[str] = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        if text in ("", "None"):
            continue
        if text in ("True", "False"):
            arguments.append(f"--{flag}" if text == "True" else f"--no-{flag}")
        else:
            arguments.append(f"--{flag}={text}")
    return arguments


def environment(session: str) -> dict[str, str]:
    """Return a job's environment: this process's without Airflow's own settings, whose secrets no job needs, but with the task's name."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_") or key in task_records.CONTEXT}
    spark = {SESSION_VARIABLE: session} if session else {}
    return inherited | job.environment() | {"PYTHONPATH": str(ROOT)} | spark


def tell_map_index(context: Mapping[str, Any]) -> None:
    """Add a mapped task's number to what Airflow has put into this process's environment, so that the job knows its page."""
    os.environ[task_records.MAP_INDEX] = str(getattr(context.get("ti"), "map_index", ""))


def job_doc(name: str) -> str | None:
    """Return the job file's docstring, which says what the task does."""
    path = ROOT / "jobs" / f"{name}.py"
    return ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None


class JobProcess:
    """A running job; ends with its children when `stop` is called or when this process dies."""

    def __init__(self, command: list[str], session: str = "") -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(session),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  one thread, one system call
        )
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def wait(self, on_line: Callable[[str], None]) -> int:
        """Pass on each line of output as it comes; returns the exit code, negative for a signal."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.rstrip("\n")
            self.tail.append(text)
            on_line(text)
        return self._process.wait()

    def stop(self) -> None:
        """End the job and its children: asked first, killed after three seconds."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=TERM_SECONDS)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _end_with_parent() -> None:
    """End the job with its parent: after a killed Airflow task it must not run beside its own retry."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

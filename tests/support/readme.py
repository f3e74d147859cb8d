"""README's commands, run on a home with a finished night."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx

from hybridrec.base.waiting import first_true
from hybridrec_local.rest import DIRECT
from tests.support import ROOT
from tests.support.documented_commands import Command, code, commands, difference
from tests.support.serving import free_port

README = ROOT / "README.md"
ON_A_HOME = re.compile(r"\S*python -m jobs\.lookup |make serve\b|curl |sqlite3 ")
WHOLE_NIGHT = re.compile(r"make run$")
# The other commands, with what tries them.
ELSEWHERE = {
    r"make (test\S*|lint)( |$)|\.ci/run$": "what runs these tests",
    r"make (ui|stop|status)\b": "tests/integration/launcher, and the fixture `stack`, which starts and stops the same services",
    r"make cluster(-stop)?\b": "tests/system/cluster",
    r"make (up|down)\b|docker ": "tests/unit/deploy, which reads the file; a container engine is not there",
    r"make bench": "tests/integration/benchmarks, with small data",
    r"(\S+=\S+ )*make run SOURCE=": "tests/integration/nights and tests/system/cluster, which run nights on other sources",
    r"\S*python -m jobs\.benchmark ": "tests/unit/offline and tests/unit/docs, which parse the line",
    r"git clone ": "a reader of this file has done so",
}


def known(command: Command) -> bool:
    """Return whether something tries the command, as said above."""
    return bool(ON_A_HOME.match(command.line) or WHOLE_NIGHT.match(command.line) or any(re.match(how, command.line) for how in ELSEWHERE))


def whole_night() -> list[Command]:
    """Return the commands that run a night."""
    return [command for command in commands(README) if WHOLE_NIGHT.match(command.line)]


def run(line: str, home: Path, **own: str) -> str:
    """Return what a command prints; it must succeed. Its home is another than the page's `var`."""
    line = line.replace(".venv/bin/python", sys.executable).replace("var/published", f"{home}/published")
    if line.startswith("sqlite3 ") and not shutil.which("sqlite3"):
        return _query(*shlex.split(line)[1:])
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=_environment(home) | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def _query(path: str, statement: str) -> str:
    """Print what the program sqlite3 would, where it is missing."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return "".join("|".join(map(str, row)) + "\n" for row in db.execute(statement))


def _environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HYBRIDREC_", "AIRFLOW"))}
    return inherited | {"HYBRIDREC_HOME": str(home)}


def differences(home: Path, same_night: bool) -> list[str]:
    """Run all commands and queries that need a home with a published night; return each difference from the page.

    same_night: that of `make run`. After another one the positions of its lists are compared by their numbers only.
    """
    found = []
    with served(home) as port:
        for command in commands(README):
            if not ON_A_HOME.match(command.line) or command.line.startswith("make serve"):
                continue
            told = _ask(command.line, port) if command.line.startswith("curl ") else run(command.line, home)
            if command.output is not None:
                shown, printed = command.output, told.replace(str(home), "var").replace(str(port), "8100")
                found.append(difference(shown, printed) if same_night else difference(_outline(shown), _outline(printed)))
    for query in code(README, "sql"):
        with closing(sqlite3.connect(f"file:{home}/published/recommendations.db?mode=ro", uri=True)) as db:
            found.append("" if db.execute(query).fetchall() else f"{query}: no row")
    for program in code(README, "python"):
        subprocess.run([sys.executable, "-c", program.replace("var/published", f"{home}/published")], check=True, timeout=60)
    return [text for text in found if text]


def _outline(text: str) -> str:
    """Return the text without what depends on the models: positions of a list by their numbers, values of JSON by their names."""
    rows = [re.sub(r"^(\s*\d+)[\s|].*", r"\1", row) for row in text.splitlines()]
    return re.sub(r'(?<=[:\[,])\s*"(?:[^"\\]|\\.)*"(?!\s*:)', '"#"', "\n".join(rows))


@contextmanager
def served(home: Path) -> Iterator[int]:
    """Start the service by the page's command while the block lasts; yields its port."""
    (line,) = [command.line for command in commands(README) if command.line.startswith("make serve")]
    port, environment = free_port(), _environment(home)
    with subprocess.Popen(
        ["bash", "-c", f"{line} PORT={port}"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            assert first_true(lambda: process.poll() is not None or _is_live(port), 60, every=0.1) and process.poll() is None, line
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _is_live(port: int) -> bool:
    with suppress(httpx.TransportError):
        return DIRECT.get(f"http://127.0.0.1:{port}/live", timeout=5).is_success
    return False


def _ask(line: str, port: int) -> str:
    """Return what curl would print."""
    (address,) = re.findall(r"127\.0\.0\.1:8100[^'\" ]*|localhost:8100[^'\" ]*", line)
    answer = DIRECT.get(f"http://{address.replace('8100', str(port))}")
    assert answer.is_success, f"{line}: {answer.status_code} {answer.text}"
    return answer.text

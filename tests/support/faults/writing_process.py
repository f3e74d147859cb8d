"""Processes that write while something fails: a server that has imported everything, and a child of it for what is to fail.

The server reads a piece of work, a line of JSON. It carries out the calls that should succeed. For the rest it forks a child and says its
id at once, so that it can be killed; then it says how it ended. Between two pieces of work the server holds nothing open, so a child shares
no file and no lock with anybody.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from hybridrec.base.errors import explain_os_error
from tests.support.faults.faulty_disk import Disk, Fault, Struck, ask_first

NOBODY = 65534
WAIT_SECONDS = 60


@dataclass(frozen=True)
class Work:
    """task: the name of a function of tasks_that_fail. where: a folder or an address. version: what is written, and marks its content.

    forked: done by a child of the server; a fault of the disk strikes a child only.
    """

    task: str
    where: str
    version: str = ""
    fault: Fault | None = None
    forked: bool = False


@dataclass(frozen=True)
class End:
    """End of a piece of work: with a result, with an exception (its classes and its sentence), or by a signal.

    calls, struck: see faulty_disk.Struck.
    """

    result: object = None
    error: str = ""
    sentence: str = ""
    signal: int = 0
    calls: int = 0
    struck: str = ""


class Server:
    """The server as its client sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, work: Work) -> int:
        """Begin a piece of work in a child; returns its id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(work)) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def end(self) -> End:
        """Wait for the work to end."""
        return End(**json.loads(self._line()))

    def do(self, work: Work) -> End:
        """Begin, and wait."""
        self.start(work)
        return self.end()

    def succeed(self, work: Work) -> object:
        """Do what must go well; returns its result."""
        end = self.do(work)
        assert not end.error, end
        return end.result

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server of the writing processes has ended; its last words are above"
        return line


@contextmanager
def server(plain: bool = False) -> Iterator[Server]:
    """Start a server with all imports of the tasks; plain: as a user without write permission, unless we are not root."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", __name__, *(["plain"] if plain and os.geteuid() == 0 else [])]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        try:
            yield Server(process)
        finally:
            process.stdin.close()


def serve() -> None:
    """Do the work that comes, one piece after the other."""
    from tests.support.faults.tasks_that_fail import TASKS, warm_up

    warm_up()
    if "plain" in sys.argv:
        os.setuid(NOBODY)
    for line in sys.stdin:
        raw = json.loads(line)
        work = Work(**raw | {"fault": Fault(**raw["fault"]) if raw["fault"] else None})
        if work.forked or work.fault:
            end = _forked(work, TASKS[work.task])
        else:
            _say("0")
            end = _ended(work, TASKS[work.task])
        _say(json.dumps(end))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _forked(work: Work, task: Callable[[str, str], object]) -> dict[str, object]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        _in_the_child(work, task, theirs)
    theirs.close()
    _say(str(pid))
    struck = Struck()
    if work.fault:
        _, [listener], _, _ = socket.recv_fds(ours, 1, 1)
        struck = Disk(pid, listener, work.where, work.fault).answer_until_the_end()
    told = b"".join(iter(lambda: ours.recv(65_536), b""))
    ours.close()
    _, status = os.waitpid(pid, 0)
    ended = json.loads(told) if told else {"signal": -os.waitstatus_to_exitcode(status)}
    return ended | {"calls": struck.calls, "struck": struck.first}


def _in_the_child(work: Work, task: Callable[[str, str], object], theirs: socket.socket) -> None:
    """Run the task in the child and never return."""
    signal.alarm(WAIT_SECONDS)
    if work.fault:
        listener = ask_first()
        socket.send_fds(theirs, [b"!"], [listener])
        os.close(listener)
    theirs.sendall(json.dumps(_ended(work, task)).encode())
    os._exit(0)


def _ended(work: Work, task: Callable[[str, str], object]) -> dict[str, object]:
    try:
        return {"result": task(work.where, work.version)}
    except Exception as error:
        classes = " ".join(kind.__name__ for kind in type(error).__mro__)
        return {"error": classes, "sentence": explain_os_error(error) if isinstance(error, OSError) else f"{error}"}


if __name__ == "__main__":
    serve()

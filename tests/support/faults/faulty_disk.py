"""A disk that fails at a chosen moment, for one process and below one folder.

The kernel holds the process at each file-system call and asks here first (seccomp_unotify(2)), so Python, Arrow and SQLite meet the
failure where a bad disk would hand it to them. Writes through a memory map, as the frames' index that SQLite keeps in its -shm file, are
no calls and cannot be refused; making and growing the map can. A sync is answered and not carried out: it matters when the power fails,
which is not tried here. A sleep is skipped too: there is no other process to wait for.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["error", "full", "short", "killed", "torn"]

NUMBERS = {  # of the calls on x86_64, /usr/include/x86_64-linux-gnu/asm/unistd_64.h
    "read": 0, "write": 1, "open": 2, "stat": 4, "fstat": 5, "lstat": 6, "mmap": 9, "pread64": 17, "pwrite64": 18, "writev": 20,
    "access": 21, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84,
    "creat": 85, "unlink": 87, "readlink": 89, "fchmod": 91, "fchown": 93, "getdents64": 217, "clock_nanosleep": 230, "openat": 257,
    "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264, "faccessat": 269, "utimensat": 280, "fallocate": 285,
    "renameat2": 316, "statx": 332, "faccessat2": 439,
}  # fmt: skip
NAMES = {number: name for name, number in NUMBERS.items()}
BY_PATH = {"open", "stat", "lstat", "access", "rename", "mkdir", "rmdir", "creat", "unlink", "readlink"}
BELOW_A_FOLDER = {"openat", "mkdirat", "newfstatat", "unlinkat", "renameat", "faccessat", "utimensat", "renameat2", "statx", "faccessat2"}
OPENS = {"open": 1, "openat": 2}  # which argument holds the flags
SYNCS = {"fsync", "fdatasync"}
WRITES = {"write", "pwrite64"}
RENAMES = {"rename", "renameat", "renameat2"}
MAKES = {"creat", "mkdir", "mkdirat"}
GROWS = {*WRITES, "writev", "fallocate", *RENAMES}
CHANGES = {*GROWS, "ftruncate", "unlink", "unlinkat", "rmdir"}
LOCKS = {fcntl.F_SETLK, fcntl.F_SETLKW}

PR_SET_NO_NEW_PRIVS, SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 38, 317, 1, 8
RETURN_ALLOW, RETURN_NOTIFY, X86_64 = 0x7FFF0000, 0x7FC00000, 0xC000003E
NOTIFY_RECEIVE, NOTIFY_SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
PIDFD_OPEN, PIDFD_GETFD = 434, 438
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Fault:
    """Fault at the `at`-th possible call, and, if it lasts, at each one after.

    error: EIO, to any call. full: ENOSPC, to calls that need room; removed files go, and free no space. short: half of a write is done;
    if that lasts, the disk is full from then on. killed: the process, before a call that changes something. torn: half of a write is
    done and the process is killed.
    """

    kind: Kind
    at: int
    lasting: bool = False


@dataclass
class Struck:
    """Number of calls at which the fault could have happened, and the first one at which it did."""

    calls: int = 0
    first: str = ""


def ask_first() -> int:
    """Make this thread and its children ask before each of the calls; returns the descriptor for the questions."""
    jump_to_notify = [(JUMP_IF_EQUAL, len(NUMBERS) - place, 0, number) for place, number in enumerate(NUMBERS.values())]
    program = [
        (LOAD, 0, 0, 4),  # the architecture
        (JUMP_IF_EQUAL, 1, 0, X86_64),
        (RETURN, 0, 0, RETURN_ALLOW),
        (LOAD, 0, 0, 0),  # the number of the call
        *jump_to_notify,
        (RETURN, 0, 0, RETURN_ALLOW),
        (RETURN, 0, 0, RETURN_NOTIFY),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    _require(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return _require(libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, header))


def _require(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: this machine does not let a process watch another's calls")
    return result


class Disk:
    """Answers what a process asks, until it has ended."""

    def __init__(self, pid: int, listener: int, folder: str, fault: Fault) -> None:
        self.pid, self.listener, self.folder, self.fault = pid, listener, folder, fault
        self.struck = Struck()
        self.memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        self.process = _require(libc.syscall(PIDFD_OPEN, pid, 0))

    def answer_until_the_end(self) -> Struck:
        """Answer every question; returns what was struck."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        while not poll.poll()[0][1] & select.POLLHUP:
            question = bytearray(80)
            try:
                fcntl.ioctl(self.listener, NOTIFY_RECEIVE, question)
                number, _thread, _flags, call, _architecture, _pointer, *arguments = struct.unpack("QIIiIQ6Q", question)
                value, error, flags = self._answer(NAMES[call], arguments)
                fcntl.ioctl(self.listener, NOTIFY_SEND, struct.pack("QqiI", number, value, -error, flags))
            except FileNotFoundError:  # the process has ended meanwhile
                continue
        for descriptor in (self.memory, self.process, self.listener):
            os.close(descriptor)
        return self.struck

    def _answer(self, name: str, arguments: list[int]) -> tuple[int, int, int]:
        """Return the value that the call returns, its error number, and whether the kernel carries it out instead."""
        if name == "clock_nanosleep":
            return 0, 0, 0
        if not self._is_ours(name, arguments):
            return 0, 0, CONTINUE
        if self._could_happen_to(name, arguments):
            self.struck.calls += 1
            if self.struck.calls == self.fault.at:
                self.struck.first = f"{name} {os.path.relpath(self._path(name, arguments), self.folder)}"
                return self._strike(name, arguments)
            if self.struck.calls > self.fault.at and self.fault.lasting:
                return self._strike(name, arguments)
        return (0, 0, 0) if name in SYNCS else (0, 0, CONTINUE)

    def _strike(self, name: str, arguments: list[int]) -> tuple[int, int, int]:
        kind = self.fault.kind
        if kind == "error":
            return 0, errno.EIO, 0
        if kind == "full" or (kind == "short" and self.struck.calls > self.fault.at):
            return 0, errno.ENOSPC, 0
        written = 0 if kind == "killed" else self._write_half(name, arguments)
        if kind != "short":
            os.kill(self.pid, signal.SIGKILL)
        return written, 0, 0

    def _could_happen_to(self, name: str, arguments: list[int]) -> bool:
        flags = arguments[OPENS[name]] if name in OPENS else 0
        kind = self.fault.kind
        is_new = (name in MAKES or flags & os.O_CREAT) and not os.path.lexists(self._path(name, arguments))
        if kind == "error":
            return name != "fcntl" or arguments[1] in LOCKS
        if kind == "killed":
            return name in CHANGES or bool(is_new or flags & os.O_TRUNC)
        if kind == "torn" or (kind == "short" and self.struck.calls < self.fault.at):
            return name in WRITES and arguments[2] > 1
        return name in GROWS | SYNCS or bool(is_new) or (name == "ftruncate" and arguments[1] > self._size(arguments))

    def _write_half(self, name: str, arguments: list[int]) -> int:
        """Do what the process asked for with the first half of its bytes, through its own descriptor."""
        data = os.pread(self.memory, arguments[2] // 2, arguments[1])
        descriptor = _require(libc.syscall(PIDFD_GETFD, self.process, arguments[0], 0))
        try:
            return os.pwrite(descriptor, data, arguments[3]) if name == "pwrite64" else os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _is_ours(self, name: str, arguments: list[int]) -> bool:
        path = self._path(name, arguments)
        return path == self.folder or path.startswith(f"{self.folder}/")

    def _path(self, name: str, arguments: list[int]) -> str:
        """Return the file of a call; for a renaming the old name."""
        if name in BY_PATH:
            return self._below("cwd", arguments[0])
        number = ctypes.c_int(arguments[4 if name == "mmap" else 0]).value
        folder = "cwd" if number < 0 else f"fd/{number}"
        if name in BELOW_A_FOLDER and arguments[1]:
            return self._below(folder, arguments[1])
        return self._link(folder) if number >= 0 else ""

    def _size(self, arguments: list[int]) -> int:
        return Path(f"/proc/{self.pid}/fd/{arguments[0]}").stat().st_size

    def _below(self, folder: str, pointer: int) -> str:
        name = os.pread(self.memory, 4096, pointer).split(b"\0", 1)[0].decode()
        return os.path.normpath(name if name.startswith("/") else f"{self._link(folder)}/{name}")

    def _link(self, name: str) -> str:
        try:
            return str(Path(f"/proc/{self.pid}/{name}").readlink())
        except FileNotFoundError:  # no such descriptor: the kernel will say so
            return ""

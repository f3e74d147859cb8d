"""Read the look-up's log: what it holds beyond what has been taken already, whole lines only, block by block.

A state says of each file how far it has been taken. Lines are counted against those that their process had accepted: what is missing
when the process has ended is lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hybridrec.feedback.append_log import ACCEPTED, COUNTER, LOCK
from hybridrec.feedback.lines import EVENT_LINE, EVENTS, KINDS, SERVED, SERVED_LINE

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 32 * 2**20
KEEP_SECONDS = 30 * 86_400  # for which a file stays after all of it has been taken
LINES: dict[str, TypeAdapter[Any]] = {SERVED: SERVED_LINE, EVENTS: EVENT_LINE}
OPTIONAL = {
    SERVED: ("experiment", "variant", "arm", "arm_probability", "slot_probabilities"),
    EVENTS: ("position", "user_id"),
}
SHOWN = 500  # characters of an unreadable line that quarantine keeps


@dataclass(frozen=True)
class Taken:
    """Part of a file that has been taken: bytes and lines from its start."""

    bytes: int = 0
    lines: int = 0


@dataclass(frozen=True)
class LogState:
    """The part of a log that has been taken. files: by writer and name. lost: lines by writer and kind, of writers that have ended."""

    files: dict[str, Taken] = field(default_factory=dict)
    lost: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Portion:
    """New whole lines of a file. torn: bytes after the last line, of a file that no process writes any more."""

    path: Path
    kind: str
    start: int
    end: int
    torn: int

    @property
    def name(self) -> str:
        """The file's name in a state."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True)
class Block:
    """Lines of a portion: their rows, and texts that are no line of ours with the reason."""

    rows: pa.Table
    refused: list[tuple[str, str]]
    n_lines: int


def schema(kind: str) -> pa.Schema:
    """Return the columns of a kind's lines."""
    import pyarrow as pa

    text, moment = pa.string(), pa.timestamp("us", "UTC")
    if kind == EVENTS:
        names = {"event_id": text, "recommendation_id": text, "event_type": text, "item_id": text, "event_at": moment}
        return pa.schema(names | {"position": pa.int32(), "user_id": text, "received_at": moment})
    columns = {"recommendation_id": text, "served_at": moment, "user_id": text, "surface": text, "run_id": text, "version": text}
    columns |= {"experiment": text, "variant": text, "arm": text, "arm_probability": pa.float32(), "item_ids": pa.list_(text)}
    return pa.schema(columns | {"slot_probabilities": pa.list_(pa.float32()), "altered": pa.bool_(), "k": pa.int32()})


def new_portions(root: Path, state: LogState) -> list[Portion]:
    """Return what the files hold beyond a state, in a fixed order."""
    portions = []
    for writer in _writers(root):
        ended = has_ended(writer)
        for kind in KINDS:
            files = sorted(writer.glob(f"{kind}-*.jsonl"))
            for path in files:
                start = state.files.get(f"{writer.name}/{path.name}", Taken()).bytes
                size = path.stat().st_size
                end = max(start, _last_line_end(path, start, size))
                closed = ended or path != files[-1]
                if end > start or (closed and size > end):
                    portions.append(Portion(path, kind, start, end, size - end if closed else 0))
    return portions


def blocks(portion: Portion, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield a portion's lines, some tens of megabytes at a time."""
    with portion.path.open("rb") as file:
        file.seek(portion.start)
        left, rest = portion.end - portion.start, b""
        while left:
            read = file.read(min(left, block_bytes))
            if not read:  # cut off meanwhile by a person
                return
            left -= len(read)
            whole, _, rest = (rest + read).rpartition(b"\n")
            if whole:
                yield _block(whole + b"\n", portion.kind)


def advanced(state: LogState, counts: dict[str, Taken]) -> LogState:
    """Return the state with other counts of files. counts: from their start."""
    return LogState(state.files | counts, state.lost)


def ended_writers(root: Path) -> frozenset[str]:
    """Return the names of the folders whose processes have ended: to be asked before their files are read."""
    return frozenset(writer.name for writer in _writers(root) if has_ended(writer))


def with_losses(root: Path, state: LogState, ended: frozenset[str]) -> LogState:
    """Return the state with the lines that are lost for good. ended: folders whose processes had ended before their files were read."""
    lost = dict(state.lost)
    for writer in _writers(root):
        if writer.name in ended and (accepted := _accepted(writer)) is not None:
            found = {
                kind: sum(taken.lines for name, taken in state.files.items() if name.startswith(f"{writer.name}/{kind}-")) for kind in KINDS
            }
            lost[writer.name] = {kind: max(0, accepted[kind] - found[kind]) for kind in KINDS}
    return LogState(state.files, lost)


def has_ended(writer: Path) -> bool:
    """Return whether the process that wrote into the folder has ended, however it did."""
    from filelock import FileLock, Timeout

    lock = FileLock(writer / LOCK, fallback_to_soft=False)
    try:
        with lock.acquire(blocking=False):
            return True
    except Timeout:
        return False


def remove_old(root: Path, state: LogState, now: float | None = None) -> LogState:
    """Remove folders of processes that ended long ago and of whose files all has been taken; returns the state without them."""
    now = time.time() if now is None else now
    gone = set()
    for writer in _writers(root):
        files = [path for path in writer.iterdir() if path.suffix == ".jsonl"]
        taken = all(
            state.files.get(f"{writer.name}/{path.name}", Taken()).bytes >= _last_line_end(path, 0, path.stat().st_size) for path in files
        )
        old = all(now - path.stat().st_mtime > KEEP_SECONDS for path in writer.iterdir() if path.name != LOCK)
        if taken and old and has_ended(writer):
            for path in writer.iterdir():
                path.unlink(missing_ok=True)
            with suppress(OSError):
                writer.rmdir()
            gone.add(writer.name)
    files_left = {name: taken for name, taken in state.files.items() if name.split("/")[0] not in gone}
    return LogState(files_left, {name: lost for name, lost in state.lost.items() if name not in gone})


def _writers(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _accepted(writer: Path) -> dict[str, int] | None:
    try:
        counts = (writer / ACCEPTED).read_bytes()
    except FileNotFoundError:
        return None
    return {kind: COUNTER.unpack_from(counts, COUNTER.size * number)[0] for number, kind in enumerate(KINDS)}


def _last_line_end(path: Path, start: int, size: int) -> int:
    """Return the position after the last line feed before `size`; start if there is none after it."""
    with path.open("rb") as file:
        end = size
        while end > start:
            begin = max(start, end - 2**16)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
    return start


def _block(text: bytes, kind: str) -> Block:
    """Return the rows of whole lines: all at once, or, if one of them is no line of ours, one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json as pj

    n_lines, wanted = text.count(b"\n"), schema(kind)
    try:
        text.decode()
        parse = pj.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore")
        rows = pj.read_json(BytesIO(text), pj.ReadOptions(block_size=len(text) + 1), parse).select(wanted.names)
    except (pa.ArrowInvalid, UnicodeDecodeError, KeyError):
        return _one_by_one(text, kind)
    missing = sum(rows[name].null_count for name in wanted.names if name not in OPTIONAL[kind])
    missing += sum(pc.list_flatten(rows[field.name]).null_count for field in wanted if pa.types.is_list(field.type))
    return _one_by_one(text, kind) if missing or rows.num_rows != n_lines else Block(rows.cast(wanted), [], n_lines)


def _one_by_one(text: bytes, kind: str) -> Block:
    import pyarrow as pa

    wanted, good, refused = schema(kind), [], []
    lines = text.splitlines() if b"\r" not in text else text.removesuffix(b"\n").split(b"\n")
    for line in lines:
        try:
            good.append(LINES[kind].dump_python(LINES[kind].validate_json(line)))
        except ValidationError as error:
            reason = f"the line is none of the {kind} log: {error.errors()[0]['msg']}"
            refused.append((reason, line[:SHOWN].decode(errors="backslashreplace")))
    rows = [{name: _plain(row[name]) for name in wanted.names} for row in good]
    return Block(pa.Table.from_pylist(rows, wanted), refused, len(lines))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

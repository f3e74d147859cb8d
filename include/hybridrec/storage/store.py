"""Folders that are visible all at once or not at all.

A *dataset* is a folder with a manifest, `_committed.json`, that names the files which count. A writer puts its
files into its own attempt folder beside the manifest and commits by replacing the manifest, the one atomic
step. Readers read what the manifest names, so a killed writer leaves nothing visible, and of two writers of the
same dataset the last to commit wins whole. Nothing is renamed, so it holds on object stores: there the files of the attempt
are uploaded first and the manifest last (hybridrec.storage.shared_files).

    model_candidates/split=full/_committed.json
    model_candidates/split=full/attempt-6f1c.../part-0.parquet

A dataset that is checked before it counts has a second manifest beside it, `_candidate.json`: `propose` writes it, `accept`
makes it the committed state. Readers do not look at it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hybridrec.storage import shared_files
from hybridrec.storage.shared_files import ORPHAN_SECONDS

MANIFEST = "_committed.json"
PENDING = "_candidate.json"
ATTEMPT = "attempt-"  # what the name of such a folder begins with
FOOTER_TAIL = 8  # a Parquet file ends with the footer's length, 4 bytes, and 4 letters
READ_BYTES = 2**24
log = logging.getLogger(__name__)


class NotCommitted(Exception):
    """The dataset has no committed state: its job has not run, or not to the end."""


@dataclass(frozen=True)
class Manifest:
    """Content of a dataset.

    files: paths below the dataset's folder, sorted.
    rows: number of rows, 0 for folders that are no table.
    content_hash: the same for equal content, whatever the files are called.
    superseded: the file lists of earlier states that are kept for their readers, newest first.
    made_from: fingerprint of all inputs of this state; empty if no fingerprint is available.
    """

    files: tuple[str, ...]
    rows: int = 0
    content_hash: str = ""
    superseded: tuple[tuple[str, ...], ...] = field(default=())
    made_from: str = ""


def read_manifest(folder: Path) -> Manifest:
    """Return the committed state of a dataset; NotCommitted when there is none."""
    try:
        return _read(folder / MANIFEST)
    except FileNotFoundError:
        raise NotCommitted(f"{folder}: nothing is committed here; run the job that writes it") from None


def _read(path: Path) -> Manifest:
    raw = json.loads(shared_files.read_text(path))
    superseded = tuple(tuple(files) for files in raw["superseded"])
    return Manifest(tuple(raw["files"]), raw["rows"], raw["content_hash"], superseded, raw.get("made_from", ""))


def pending(folder: Path) -> Manifest | None:
    """Return the state that waits for its check; None when there is none."""
    try:
        return _read(folder / PENDING)
    except FileNotFoundError:
        return None


def newest(folder: Path) -> Manifest | None:
    """Return the state that was written last, checked or not; None for a dataset without any."""
    return pending(folder) or (read_manifest(folder) if is_committed(folder) else None)


def is_committed(folder: Path) -> bool:
    """Return whether the dataset has a committed state."""
    return shared_files.modified(folder / MANIFEST) is not None


def is_made_from(folder: Path, fingerprint: str) -> bool:
    """Return whether the dataset's committed state follows from just that."""
    return is_committed(folder) and read_manifest(folder).made_from == fingerprint


def committed_files(folder: Path, suffix: str = ".parquet") -> list[Path]:
    """Return the files of a dataset that count, on this disk, as absolute paths in a fixed order."""
    return shared_files.fetch(folder / name for name in read_manifest(folder).files if name.endswith(suffix))


def committed_folder(folder: Path) -> Path:
    """Return the one attempt folder that a dataset without partitions consists of, on this disk."""
    files = read_manifest(folder).files
    attempts = {_attempt(name) for name in files}
    if len(attempts) != 1:
        raise NotCommitted(f"{folder}: expected one attempt, found {sorted(attempts)}")
    shared_files.fetch(folder / name for name in files)
    return folder / attempts.pop()


def new_attempt(folder: Path) -> Path:
    """Return an empty folder of this attempt's own beside the manifest, on this disk."""
    attempt = folder / f"{ATTEMPT}{uuid.uuid4().hex[:12]}"
    attempt.mkdir(parents=True)
    return attempt


@contextmanager
def attempted(folder: Path) -> Iterator[Path]:
    """Yield an attempt folder; drop it when the block fails, since the disk may be full, unless the block has committed it."""
    attempt = new_attempt(folder)
    try:
        yield attempt
    except BaseException:
        if not _is_named(folder, attempt):
            shutil.rmtree(attempt, ignore_errors=True)
        raise


@contextmanager
def staged(folder: Path, keep: int = 0, made_from: str = "") -> Iterator[Path]:
    """Yield an attempt folder; commit all files in it when the block succeeds, drop them when it fails. keep: see commit."""
    with attempted(folder) as attempt:
        yield attempt
        commit(folder, Manifest(files_below(folder, attempt), content_hash=hash_files(attempt), made_from=made_from), keep)


def files_below(folder: Path, attempt: Path) -> tuple[str, ...]:
    """Return paths, relative to the dataset, of the data files in an attempt; engines' marker files are left out."""
    paths = (path for path in attempt.rglob("*") if path.is_file() and path.name[0] not in "._")
    return tuple(sorted(path.relative_to(folder).as_posix() for path in paths))


def hash_files(attempt: Path) -> str:
    """Return SHA-256 over names and bytes of the files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in attempt.rglob("*") if path.is_file()):
        digest.update(path.relative_to(attempt).as_posix().encode())
        for block in _blocks(path, path.stat().st_size):
            digest.update(block)
    return digest.hexdigest()


def hash_parquet(path: Path) -> str:
    """Return SHA-256 over a Parquet file's pages and schema: equal for equal content, whichever process wrote it.

    The footer is left out, because Spark lists a column's encodings there in the order of a Java hash set, which
    changes from one JVM to the next.
    """
    import pyarrow.parquet as pq

    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(size - FOOTER_TAIL)
        footer = int.from_bytes(handle.read(4), "little")
    digest = hashlib.sha256(str(pq.read_schema(path).remove_metadata()).encode())
    for block in _blocks(path, size - FOOTER_TAIL - footer):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    """Yield the first bytes of a file."""
    with path.open("rb") as handle:
        while block := handle.read(min(size, READ_BYTES)):
            size -= len(block)
            yield block


def commit(folder: Path, manifest: Manifest, keep: int = 0) -> None:
    """Make `manifest` the dataset's state; keep the files of the last `keep` states and of a pending one, delete older ones."""
    previous = (read_manifest(folder),) if is_committed(folder) else ()
    waiting = pending(folder)
    proposed = waiting.files if waiting else ()
    known = [state for old in previous for state in (old.files, *old.superseded)]
    shared_files.put(folder, set(manifest.files).difference(proposed, *known))
    history = [state for state in known if set(state) != set(manifest.files)]
    shared_files.write_text(folder / MANIFEST, as_json(asdict(manifest) | {"superseded": history[:keep]}))
    kept = set(manifest.files).union(proposed, *history[:keep])
    _tidy(folder, kept, set().union(*history[keep:]) - kept)


def propose(folder: Path, manifest: Manifest) -> None:
    """Leave `manifest` as the state that counts once it has been accepted; an earlier pending one goes."""
    waiting, current = pending(folder), read_manifest(folder) if is_committed(folder) else Manifest(())
    earlier = set(waiting.files if waiting else ())
    counting = set(current.files).union(*current.superseded)
    shared_files.put(folder, set(manifest.files) - earlier - counting)
    shared_files.write_text(folder / PENDING, as_json(asdict(manifest)))
    kept = counting | set(manifest.files)
    _tidy(folder, kept, earlier - kept)


def accept(folder: Path, checked: Manifest, keep: int = 0) -> None:
    """Make the pending state that was checked the dataset's state; one that was proposed meanwhile goes on waiting.

    Killed before its end it leaves a pending state that is the committed state, and accepting it again changes nothing.
    """
    commit(folder, checked, keep)
    if pending(folder) == checked:
        shared_files.remove_file(folder / PENDING)


def _tidy(folder: Path, kept: set[str], superseded: set[str]) -> None:
    try:
        _remove_unnamed(folder, kept, superseded)
    except OSError as error:
        log.warning("%s is committed; replaced files are removed with the next commit: %s", folder, error)


def write_json(path: Path, value: object) -> None:
    """Write a small JSON file of this disk so that readers see the old one or the new one, whole."""
    shared_files.replace_file(path, as_json(value))


def as_json(value: object) -> str:
    """Return a value as the JSON of a small file that people may read."""
    return json.dumps(value, indent=1, sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    """Return numpy's numbers as Python's: as text, a False would read as true. Anything else (times, paths) as text."""
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)


def _attempt(name: str) -> str:
    """Return the attempt folder that a file of a dataset lies in."""
    return name.split("/", 1)[0]


def _is_named(folder: Path, attempt: Path) -> bool:
    """Return whether a committed state may need the attempt: when the manifest cannot be read, it may."""
    try:
        states = [read_manifest(folder) if is_committed(folder) else Manifest(()), pending(folder) or Manifest(())]
    except OSError:
        return True
    return any(_attempt(name) == attempt.name for state in states for files in (state.files, *state.superseded) for name in files)


def _remove_unnamed(folder: Path, kept: set[str], superseded: set[str]) -> None:
    """Remove what no kept state names, also what killed writers have left; a living writer's attempt is young and stays."""
    named, replaced = ({_attempt(name) for name in names} for names in (kept, superseded))
    for attempt, written_at in shared_files.last_written(folder, ATTEMPT).items():
        if attempt in named:
            for name in {name for name in superseded if _attempt(name) == attempt} | set(files_below(folder, folder / attempt)) - kept:
                shared_files.remove_file(folder / name)
        elif attempt in replaced or time.time() - written_at > ORPHAN_SECONDS:
            shared_files.remove_folder(folder / attempt)

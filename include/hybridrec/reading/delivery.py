"""Find and open the files of a delivery: folders of any depth, but nothing that a writer has left behind or a link leads out to."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from hybridrec.base.errors import PermanentError
from hybridrec.reading import printable

log = logging.getLogger(__name__)
KINDS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
PACKED = ".gz"  # of text; Parquet packs itself
UNFINISHED = (
    "tmp",
    "temp",
    "part",
    "partial",
    "filepart",
    "crdownload",
    "inprogress",
    "pending",
    "download",
    "opdownload",
    "incomplete",
    "uploading",
    "writing",
)  # names that writers use until they are done
REPLACED = ("bak", "backup", "old", "orig", "swp")  # what editors and people keep of a file, also as items.old.csv
BESIDE = ("crc", "md5", "sha1", "sha256", "sig", "asc")  # say something about another file
FORMATS = {"_delta_log": "Delta", ".hoodie": "Hudi"}  # tables whose folder also holds files that no longer count
FINISHED = "_SUCCESS"
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Delivered:
    """One file.

    path: where it lies, no link. name: what it was called, below the delivered folder; shown: the same with the folder; both
    printable. kind: parquet, csv or json.
    folders: values in its folders' names, as event_type=view. may_be_empty: Spark writes a part without rows as 0 bytes.
    """

    path: Path
    name: str
    shown: str
    kind: str
    folders: dict[str, str | None]
    may_be_empty: bool


def find_files(origin: Path, part: str) -> list[Delivered]:
    """Return the files of events, items or users: `part.*` and `part/**`, by name; PermanentError for what cannot be read.

    Hidden files, those that begin with "_" and what writers leave behind do not count; a file with two names counts once.
    """
    seen: set[Path] = set()
    files: list[Delivered] = []
    for name in _children(origin):
        if name.lower().split(".")[0] != part or not _counts(name):
            continue
        inside = [_describe(origin, path) for path in _walk(origin, origin / name, seen)]
        if not inside and (origin / name).is_dir():
            raise PermanentError(
                f"files: the folder {printable(str(origin / name))} holds no file that counts (its writer may have failed); "
                f"deliver it again, or remove it and land again"
            )
        files += inside
    return sorted(files, key=lambda file: file.name)


def find_others(origin: Path, parts: tuple[str, ...]) -> list[str]:
    """List the names in the delivered folder that belong to no part or are unfinished; hidden ones are left out."""
    names = [name for name in _children(origin) if name[0] not in "._"]
    return [printable(name) for name in names if not _counts(name) or name.lower().split(".")[0] not in parts]


def _children(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except PermissionError:
        raise _no_permission(folder) from None


def _counts(name: str) -> bool:
    """Return whether a name is neither hidden, nor unfinished, nor another file's copy or lock."""
    endings = name.lower().split(".")[1:]
    if name[0] in "._~#" or name.endswith("~") or {"inprogress", "pending", *REPLACED}.intersection(endings):
        return False
    return not endings or endings[-1] not in (*UNFINISHED, *BESIDE)


def _walk(origin: Path, path: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the files at or below a path, once each."""
    real = _resolve(origin, path)
    if real in seen:
        return
    seen.add(real)
    if real.is_file():
        yield path
    elif not real.is_dir():
        raise PermanentError(f"files: {printable(str(path))} is neither a file nor a folder; remove it and land again")
    else:
        names = _children(real)
        _require_plain_folder(path, names)
        passed_over = [printable(name) for name in names if not _counts(name) and name != FINISHED]
        if passed_over:
            log.warning("%s: ignored hidden, unfinished or other files: %s", printable(str(path)), ", ".join(passed_over[:10]))
        for name in filter(_counts, names):
            yield from _walk(origin, path / name, seen)


def _resolve(origin: Path, path: Path) -> Path:
    """Resolve a path; PermanentError if the result is not inside the delivered folder."""
    try:
        real = path.resolve(strict=True)
    except PermissionError:
        raise _no_permission(path) from None
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        raise PermanentError(f"files: {printable(str(path))} is a link that leads nowhere; deliver the file itself") from None
    if not real.is_relative_to(origin):
        raise PermanentError(f"files: {printable(str(path))} is a link that leaves the delivered folder; deliver the file itself")
    return real


def _require_plain_folder(path: Path, names: list[str]) -> None:
    for name in FORMATS.keys() & names:
        raise PermanentError(
            f"files: {printable(str(path))} is a {FORMATS[name]} table, and some of its files may no longer count; "
            f"deliver an export of it as plain Parquet"
        )


def _describe(origin: Path, path: Path) -> Delivered:
    parts = path.relative_to(origin).parts
    pairs = [part.split("=", 1) for part in parts[:-1] if "=" in part]
    folders = {key: None if value == NO_VALUE else unquote(value) for key, value in pairs}
    kind = _kind_of(parts)
    if not kind:
        raise PermanentError(f"files: {printable(str(path))} is of no known kind; expected {', '.join(KINDS)}; text also as {PACKED}")
    finished = (path.parent / FINISHED).exists()
    return Delivered(path.resolve(), printable("/".join(parts)), printable(str(path)), kind, folders, finished and kind != "parquet")


def _kind_of(parts: tuple[str, ...]) -> str:
    """Return the kind by the file's ending; a name without one takes its folder's, as in events.parquet/000000_0."""
    for name in reversed(parts):
        packed = name.lower().endswith(PACKED)
        ending = Path(name[: -len(PACKED)] if packed else name).suffix.lower()
        if ending in KINDS and not (packed and KINDS[ending] == "parquet"):
            return KINDS[ending]
        if packed or (ending and name == parts[-1]):
            return ""
    return ""


@contextmanager
def opened(origin: Path, file: Delivered) -> Iterator[BinaryIO]:
    """Open a delivered file for reading. No link is followed, also none that was added since the file was found."""
    directory = os.open(origin, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *folders, name = file.path.relative_to(origin).parts
        for folder in folders:
            within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = within
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except PermissionError:
        raise _no_permission(Path(file.shown)) from None
    except OSError:
        raise PermanentError(f"files: {file.shown} has changed since it was found; deliver the folder as a whole and land again") from None
    finally:
        os.close(directory)
    with os.fdopen(descriptor, "rb") as handle:
        _require_content(file, os.fstat(descriptor))
        yield handle


def _require_content(file: Delivered, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PermanentError(f"files: {file.shown} has changed since it was found; deliver the folder as a whole and land again")
    if not status.st_size and not file.may_be_empty:
        raise PermanentError(f"files: {file.shown} is empty (0 bytes); deliver it again, or remove it and land again")


def _no_permission(path: Path) -> PermanentError:
    return PermanentError(f"files: no permission to read {printable(str(path))}; let this user read it and land again")

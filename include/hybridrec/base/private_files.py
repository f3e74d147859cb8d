"""Keep what is below the home folder from other users of the machine.

A process that writes there calls `keep_private` once, before it makes its first file: from then on all that it and its children
make is for this user only, and an older home that others could read is closed. Only `published/` can be opened, by an option.
"""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings

UMASK = 0o077
CLUSTER = "cluster"  # of `make cluster`; its database server, another user, has to pass through on the way to its own folder
PASS_THROUGH = 0o711  # others may enter by name, and neither list nor read
PUBLISHED = 0o755  # of the folder that others may read


def keep_private(settings: Settings) -> None:
    """Let this process make private files only, and close the home to others.

    Takes as long as the home has entries right below it: a folder that others may not enter hides its content. Folders of somebody
    else stay as they are, so that a reader of the published tables may call it too.
    """
    os.umask(UMASK)
    with suppress(OSError):  # no home yet, or one that cannot be read: a later write reports the problem
        if _is_everybodys(settings.home):
            return
        is_readable = _published_is_open(settings)
        for entry in _closed(settings):
            _limit(entry, 0o700)
        if is_readable:
            _open_published(settings.published)
        _chmod(settings.home, PASS_THROUGH if is_readable or (settings.home / CLUSTER).exists() else 0o700)


def require_own(home: Path) -> None:
    """Raise PermanentError if another user owns the home: they could read and replace whatever is written there."""
    if home.exists() and home.stat().st_uid != os.geteuid():
        raise PermanentError(
            f"{home} belongs to another user, who could read and replace what is in it; set HYBRIDREC_HOME to a folder of your own"
        )


def tighten(settings: Settings) -> int:
    """Take the rights of others from all that is below the home, however deep; returns how many files and folders had some.

    For a home of an earlier version: an entry that is readable by itself is a secret only as long as the folders above it are.
    """
    n_open = 0
    for entry in [] if _is_everybodys(settings.home) else _closed(settings):
        n_open += _limit(entry, 0o700)
        for folder, folders, files in os.walk(entry):
            n_open += sum(_limit(Path(folder) / name, 0o700) for name in (*folders, *files))
    return n_open


def make_private_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder with just these rights, whatever the process's own are."""
    folder.mkdir(parents=True, exist_ok=True)
    _chmod(folder, mode)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, private from its first byte on; readers see the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _is_everybodys(home: Path) -> bool:
    """Return whether it is a folder as /tmp, where each may remove but his own: a service that writes nothing may have such a home."""
    return bool(home.stat().st_mode & stat.S_ISVTX)


def _published_is_open(settings: Settings) -> bool:
    """Return the option; if it is not set, the folder's present state, so that a job by hand does not shut services out.

    A home of an earlier version has other rights, 0755 by default, and so counts as closed.
    """
    if settings.published_is_readable is not None:
        return settings.published_is_readable
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (settings.home, settings.published) if folder.is_dir()]
    return modes == [PASS_THROUGH, PUBLISHED]


def _closed(settings: Settings) -> list[Path]:
    """Return the entries right below the home that only this user may read."""
    others = {CLUSTER, settings.published.name} if _published_is_open(settings) else {CLUSTER}
    return [entry for entry in settings.home.iterdir() if entry.name not in others]


def _open_published(folder: Path) -> None:
    make_private_folder(folder, PUBLISHED)
    for path in folder.iterdir():
        if path.suffix != ".lock":
            _chmod(path, 0o644)


def _limit(path: Path, allowed: int) -> bool:
    """Take all rights but the allowed ones; whether there were others. Links and files of other users stay as they are."""
    try:
        status = path.lstat()
    except FileNotFoundError:  # another process has removed it
        return False
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid() or not mode & ~allowed:
        return False
    path.chmod(mode & allowed)
    return True


def _chmod(path: Path, mode: int) -> None:
    with suppress(FileNotFoundError):  # a log that SQLite has removed
        status = path.stat()
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != mode:
            path.chmod(mode)

"""Keep the shared files on this machine's disk, or at an address that the disk then caches.

With HYBRIDREC_STORAGE=s3://bucket/prefix the folders in SHARED are kept there under the names that they have in the home.
A path below the home then names an object and this machine's copy of it. The files of an attempt never change once they are
committed: they are copied on demand, and the copy stays valid. Files that change, manifests and records, are read at the
address each time. Nothing is renamed there: an object appears whole when its upload is complete.

The address holds no secret. Credentials, region and end point come from the environment, as AWS's own tools read it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

SHARED = ("runs", "warehouse", "tuned", "interventions")
ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]+(?:/[\w.=-]+)*)/?")
SUBMITTED = "PYSPARK_GATEWAY_PORT"  # set in a job that spark-submit has started: its executors are other machines
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
ORPHAN_SECONDS = 86_400  # what is older than a day and not committed was left by a killed writer: no job of ours runs that long
AT_ONCE = 8  # transfers: a single one seldom fills the line
CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 10, 60, 5


def read_text(path: Path) -> str:
    """Return a small file as it is now; FileNotFoundError when there is none."""
    key = _key(path)
    if key is None:
        return path.read_text()
    with _store().open_input_stream(key) as stream:
        return bytes(stream.read()).decode()


def write_text(path: Path, text: str) -> None:
    """Write a small file so that readers see the old one or the new one, whole."""
    key = _key(path)
    if key is None:
        replace_file(path, text)
    else:
        with _store().open_output_stream(key) as stream:
            stream.write(text.encode())


def modified(path: Path) -> float | None:
    """Return the time of a file's last change, in seconds since 1970; None without a file."""
    return times([path])[0]


def times(paths: list[Path]) -> list[float | None]:
    """Return the same of many files that lie below one folder, asked for at once."""
    keys = [key for path in paths if (key := _key(path)) is not None]
    if not keys:
        return [path.stat().st_mtime if path.is_file() else None for path in paths]
    return [float(info.mtime.timestamp()) if info.is_file else None for info in _store().get_file_info(keys)]


def children(folder: Path) -> list[str]:
    """List the names of the files and folders right below a folder, sorted; none when it does not exist."""
    from pyarrow.fs import FileSelector

    key = _key(folder)
    if key is None:
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return sorted(info.base_name for info in _store().get_file_info(FileSelector(key, allow_not_found=True)))


def fetch(paths: Iterable[Path]) -> list[Path]:
    """Return committed files as files on this disk; missing ones are copied. FileNotFoundError when one is gone."""
    wanted, absent = list(paths), []
    for path in wanted:
        if not path.exists():
            key = _key(path)
            if key is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            absent.append((key, path))
    _at_once(_download, absent)
    return wanted


def fetch_folder(folder: Path) -> Path:
    """Return a folder of a committed attempt with all its data files, on this disk."""
    from pyarrow.fs import FileSelector

    key = _key(folder)
    if key is not None:
        infos = _store().get_file_info(FileSelector(key, recursive=True))
        names = [Path(file.path).relative_to(key) for file in infos if file.is_file]
        fetch(folder / name for name in names if all(part[0] not in "._" for part in name.parts))  # engines' own are left out
    return folder


def spark_path(path: Path) -> str:
    """Return Spark's name of a path: on a cluster its address for Hadoop's S3A, else the path on this disk."""
    key = _key(path) if SUBMITTED in os.environ else None
    return str(path) if key is None else f"s3a://{key}"


def take_from_spark(attempt: Path) -> None:
    """Move what Spark has written under spark_path(attempt) to the attempt's folder on this disk, to be hashed and put."""
    key = _key(attempt)
    if key is not None and SUBMITTED in os.environ:
        fetch_folder(attempt)
        _store().delete_dir(key)


def put(folder: Path, names: Iterable[str]) -> None:
    """Make files that were written to this disk last: at the address, or through the disk's own cache."""
    key = _key(folder)
    if key is None:
        for name in names:
            _flush_to_disk(folder / name)
    else:
        _at_once(_upload, [(f"{key}/{name}", folder / name) for name in names])


def remove_file(path: Path) -> None:
    """Delete a file; one that is gone is no error."""
    key = _key(path)
    if key is not None and _store().get_file_info(key).is_file:
        _store().delete_file(key)
    path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it; one that is gone is no error."""
    from pyarrow.fs import FileType

    key = _key(folder)
    if key is not None and _store().get_file_info(key).type == FileType.Directory:
        _store().delete_dir(key)
    shutil.rmtree(folder, ignore_errors=True)


def last_written(folder: Path, prefix: str) -> dict[str, float]:
    """Return the folders right below a folder whose names begin so, and when each was last written to, here or at the address."""
    from pyarrow.fs import FileSelector

    times_by_name = {path.name: path.stat().st_mtime for path in folder.glob(f"{prefix}*")}
    key = _key(folder)
    if key is not None:
        for file in _store().get_file_info(FileSelector(key, allow_not_found=True, recursive=True)):
            name = file.path.removeprefix(f"{key}/").split("/")[0]
            if file.is_file and name.startswith(prefix):
                times_by_name[name] = max(times_by_name.get(name, 0.0), file.mtime.timestamp())
    return times_by_name


def replace_file(path: Path, text: str) -> None:
    """Write a small file of this disk so that readers see the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        beside.write_text(text)
        _flush_to_disk(beside)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # what failed first is what counts
            beside.unlink()
        raise
    _flush_to_disk(path.parent)  # or a power cut could bring the old file back
    with suppress(OSError):
        for left in path.parent.glob(f"{escape(path.name)}.????????"):  # by writers that were killed
            if time.time() - left.stat().st_mtime > ORPHAN_SECONDS:
                left.unlink()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(path: Path) -> str | None:
    """Return the key of a path at the address, bucket first; None for a path that is only on this disk."""
    settings = Settings.from_env()
    if not settings.is_remote or not path.is_relative_to(settings.home):
        return None
    name = path.relative_to(settings.home)
    if name.parts[:1] not in [(shared,) for shared in SHARED]:
        return None
    address = ADDRESS.fullmatch(settings.storage)
    if not address:
        raise PermanentError(f"HYBRIDREC_STORAGE is {settings.storage!r}; expected a folder or an address as s3://bucket/prefix")
    return f"{address[1]}/{name.as_posix()}"


def _store() -> S3FileSystem:
    endpoint = next(filter(None, (os.environ.get(name) for name in ENDPOINTS)), "")
    return _connected(endpoint)


@lru_cache(maxsize=1)
def _connected(endpoint: str) -> S3FileSystem:
    """Return the client for an end point, as https://host:port; AWS's own for "". Nothing is asked of it yet."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    scheme, _, host = endpoint.rpartition("://")
    return S3FileSystem(
        endpoint_override=host.rstrip("/") or None,
        scheme=scheme or "https",
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        allow_delayed_open=True,  # a small file is one request instead of three
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _download(key: str, path: Path) -> None:
    from pyarrow.fs import LocalFileSystem, copy_files

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")  # hidden: no data file
    try:
        copy_files(key, str(beside), source_filesystem=_store(), destination_filesystem=LocalFileSystem())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _upload(key: str, path: Path) -> None:
    from pyarrow.fs import LocalFileSystem, copy_files

    copy_files(str(path), key, source_filesystem=LocalFileSystem(), destination_filesystem=_store())


def _at_once(transfer: Callable[[str, Path], None], files: list[tuple[str, Path]]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda file: transfer(*file), files))

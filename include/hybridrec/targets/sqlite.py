"""The embedded publish target: one SQLite file that services open read-only.

`<home>/published/recommendations.db` holds for each version its own tables, named by the version and the attempt
that wrote them, and for readers views of the live version. A killed attempt leaves tables that no publication names;
the next one drops them. Write-ahead logging lets readers go on while a version is staged.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote

from hybridrec.base.errors import BadData, NothingPublished
from hybridrec.base.settings import Settings
from hybridrec.storage.ahead import one_ahead
from hybridrec.tables import Column, Table
from hybridrec.versions.content_hash import TableHash, combined_hash
from hybridrec.versions.publications import PUBLISHED, WHY_POPULAR, WHY_SIMILAR, Answer, Entry, Publication, SimilarItems, State, definition
from hybridrec.versions.row_text import as_text

if TYPE_CHECKING:
    import pyarrow as pa

DOC = "SQLite file below the home folder, for services on the same machine."
VERSION = re.compile(r"[a-z0-9_]{1,40}")
BUSY_SECONDS = 30.0  # a switch holds the write lock for milliseconds, a batch of rows for less than a second
LOOK_UP_SECONDS = 0.5  # a look-up waits so long for a lock: whoever asked for it waits less than a second
LOG_SECONDS = 1.0  # a writer waits so long at its end for readers, to leave an empty log
STAGE_WAIT_SECONDS = 600.0
READ_ROWS = 1_000  # some 2 MB of lists: what is that small stays in the cache and is not given back to the system
PAGE_BYTES = 16_384  # a row of 20 items has some 2 kB: with the default of 4096 each one spills to an overflow page
STAGE_LOG_PAGES = 4_000  # some 64 MB: rows go on from the log to the file in few large writes, and the log stays bounded

LOOK = "SELECT COUNT(*) FROM sqlite_master"  # from its first look on, a connection is seen by others
PUBLICATIONS = """
CREATE TABLE IF NOT EXISTS publications (
    version TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, run_id TEXT NOT NULL, source TEXT NOT NULL, as_of TEXT NOT NULL,
    model_version TEXT NOT NULL, generated_at TEXT NOT NULL, valid_until TEXT NOT NULL, counts TEXT NOT NULL,
    content_hash TEXT NOT NULL, state TEXT NOT NULL, notes TEXT NOT NULL, storage TEXT NOT NULL, checksums TEXT NOT NULL
) WITHOUT ROWID
"""
FIELDS = "version, run_id, source, as_of, model_version, generated_at, valid_until, counts, content_hash, state, notes"
ORIGIN = "p.run_id, p.version, p.model_version, p.generated_at, p.valid_until"


def connect(settings: Settings) -> SqliteTarget:
    """The published file of this home folder; nothing is opened or made before the first use."""
    return SqliteTarget(settings.published / "recommendations.db")


FileId = tuple[int, int]  # device and inode


class Opened(NamedTuple):
    """A connection of look-ups, and the files that it has open: the database and its write-ahead log."""

    db: sqlite3.Connection
    file: FileId
    log: FileId | None


class SqliteTarget:
    """See the module; the Target protocol says what each method promises.

    Look-ups keep one connection, for one thread at a time, and open the file anew when another one lies in its place. Only one,
    since of two in this process the first could keep the log's index of the old file under the second, which reads the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log_path = f"{path}-wal"
        self._opened: Opened | None = None

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Fill tables of this attempt's own, then make the version's row point to them."""
        require_version(publication.version)
        storage = f"{publication.version}_{uuid.uuid4().hex[:8]}"
        with self._only_stager(), self._writer() as db:
            # Nothing of it is live yet, so it need not be on the disk at every batch; the file stays whole all the same, and the
            # switch, in a connection of its own, brings all that came before it to the disk.
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {STAGE_LOG_PAGES}")
            _drop_unreferenced(db)
            try:
                filled = {name: _fill(db, name, storage, tables[name]) for name in PUBLISHED}
                hashes = {name: hashed for name, (hashed, _) in filled.items()}
                _require_counts(publication, hashes)
            except BaseException:
                with suppress(sqlite3.Error):  # the disk may be what failed; then the next attempt drops them
                    _drop_tables(db, storage)
                raise
            counts = {name: hashed.rows for name, hashed in hashes.items()}
            staged = replace(publication, counts=counts, content_hash=combined_hash(hashes), state="staged")
            return _record(db, staged, storage, {name: stored.hexdigest() for name, (_, stored) in filled.items()})

    def check(self, version: str) -> None:
        """Read the version back; a version that fails is rejected for good, unless it is live or was."""
        with self._writer() as db:
            found, storage = _find(db, version)
            [(sums,)] = db.execute("SELECT checksums FROM publications WHERE version = ?", (version,))
            expected = {name: (found.counts[name], checksum) for name, checksum in json.loads(sums).items()}
            stored = {name: _read_back(db, name, storage) for name in PUBLISHED}
            if stored == expected:
                return
            db.execute("UPDATE publications SET state = 'rejected' WHERE version = ? AND state = 'staged'", (version,))
        [name, *_] = [name for name in PUBLISHED if stored[name] != expected[name]]
        raise BadData(
            f"{self.path}: {name} of version {version} as stored has {stored[name][0]} rows with checksum {stored[name][1][:12]}, expected"
            f" {expected[name][0]} with {expected[name][1][:12]}; stage it again with python -m jobs.publish_table --run-id {found.run_id}"
        )

    def switch_to(self, version: str, keep: int) -> None:
        """Replace the readers' views in one transaction, then prune."""
        with self._writer() as db:
            with _transaction(db):
                found, storage = _find(db, version)
                if found.state in ("rejected", "dropped"):
                    raise BadData(f"{self.path}: version {version} is {found.state}; choose a staged or kept one")
                if found.state != "live":
                    _make_live(db, version, storage)
            _prune(db, keep)

    def versions(self) -> list[Publication]:
        """All rows of `publications`, newest first."""
        if not self.path.exists():
            return []
        with self._reader() as db:
            return [_publication(row) for row in db.execute(f"SELECT {FIELDS} FROM publications ORDER BY number DESC")]  # noqa: S608

    def read_live(self, name: str, columns: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
        """The view of a published table, batch by batch, all from one snapshot."""
        shape = definition(name)
        chosen = [column for column in shape.columns if not columns or column.name in columns]
        with self._reader() as db:
            names = ", ".join(_quoted(column.name) for column in chosen)
            key = ", ".join(_quoted(column) for column in shape.key)
            cursor = db.execute(f"SELECT {names} FROM {_quoted(name)} ORDER BY {key}")  # noqa: S608  names come from definitions
            while rows := cursor.fetchmany(READ_ROWS):
                yield _decoded(rows, chosen)

    def read_user(self, user_id: str) -> Answer | None:
        """The user's row with the items' titles."""
        with self._looking_up() as db:
            row = db.execute(READ_USER, (user_id,)).fetchone()
        if row is None:
            return None
        item_ids, scores, reasons, sources, titles = (json.loads(text) for text in row[:5])
        entries = tuple(
            Entry(place + 1, item, titles.get(item), scores[place], reasons[place], sources[place]) for place, item in enumerate(item_ids)
        )
        return Answer(user_id, entries, *row[5:])

    def read_popular(self, window: str, k: int) -> Answer:
        """The first places of a window of popular_items."""
        with self._looking_up() as db:
            rows = db.execute(READ_POPULAR, (window, k)).fetchall()
        if not rows:
            raise BadData(f"{self.path}: popular_items has no rows of window {window!r}; choose recent or all_time")
        source = f"popular_{window}"
        entries = tuple(Entry(rank, item_id, title, score, WHY_POPULAR[window], source) for rank, item_id, title, score, *_ in rows)
        return Answer("", entries, "unknown_user", None, *rows[0][4:])

    def read_similar(self, item_id: str, k: int) -> SimilarItems | None:
        """The item's row with its neighbours' titles."""
        with self._looking_up() as db:
            row = db.execute(READ_SIMILAR, (item_id,)).fetchone()
        if row is None:
            return None
        item_ids, scores, titles = (json.loads(text) for text in row[:3])
        source = row[3]
        pairs = enumerate(zip(item_ids[:k], scores[:k], strict=True), start=1)
        entries = tuple(Entry(rank, item, titles.get(item), score, WHY_SIMILAR[source], source) for rank, (item, score) in pairs)
        return SimilarItems(item_id, entries, *row[4:])

    def close(self) -> None:
        """Close the connection of look-ups, if one is open."""
        if self._opened is not None:
            self._opened.db.close()
            self._opened = None

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for jobs: it waits for a lock as long as a writer does."""
        if not self.path.exists():
            raise NothingPublished(self.path)
        with _in_sentences(self.path), closing(_open_read_only(self.path)) as db:
            yield db

    @contextmanager
    def _looking_up(self) -> Iterator[sqlite3.Connection]:
        """The kept connection to the file that lies there now. After an error the file is opened anew: it may have been mended."""
        with _in_sentences(self.path, LOOK_UP_SECONDS):
            try:
                yield self._current()
            except sqlite3.Error:
                self.close()
                raise

    def _current(self) -> sqlite3.Connection:
        file = _file_id(self.path)
        if file is None:
            self.close()
            raise NothingPublished(self.path)
        log = _file_id(self._log_path)
        if self._opened is None or (self._opened.file, self._opened.log) != (file, log):
            self.close()  # first: see the class
            db = _open_read_only(self.path, LOOK_UP_SECONDS)
            self._opened = Opened(db, file, log)
            db.execute(LOOK).fetchall()
            self._opened = Opened(db, file, log or _file_id(self._log_path))  # opening may have made the log
        return self._opened.db

    @contextmanager
    def _writer(self) -> Iterator[sqlite3.Connection]:
        """A connection that writes.

        The last connection to close removes the -wal and -shm files, and a reader who may not write in the folder cannot make them
        again. One that only reads removes nothing: it comes first and goes last, whatever fails in between.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.is_file():
            self.path.open("ab").close()  # the system says better than SQLite why it cannot be made
            self.path.chmod(self.path.parent.stat().st_mode & 0o644)  # who may read the folder may read the file; so are its logs made
        with _in_sentences(self.path), closing(_open_read_only(self.path)) as last:
            if self.path.with_name(f"{self.path.name}-wal").exists():  # else a file is half made, and who only reads cannot mend it
                last.execute(LOOK).fetchall()
            # one thread at a time uses it, but not always the same: the read-back fetches in a second one
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)) as db:
                db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(PUBLICATIONS)
                last.execute(LOOK).fetchall()  # a new file has its logs only now
                yield db
                # An empty log: SQLite would replay what it holds over another file that a person puts in this one's place.
                db.execute(f"PRAGMA busy_timeout = {LOG_SECONDS * 1000:.0f}")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _only_stager(self) -> Iterator[None]:
        """One attempt at a time fills tables, so those that no publication names are a killed attempt's."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + STAGE_WAIT_SECONDS
        with self.path.with_suffix(".lock").open("w") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{self.path}: another job has been staging for {STAGE_WAIT_SECONDS:.0f} s") from None
                    time.sleep(0.2)
            yield


READ_USER = """
SELECT r.item_ids, r.scores, r.reasons, r.sources,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(r.item_ids) AS e JOIN items AS i ON i.item_id = e.value),
       r.reason, r.shortfall, r.run_id, r.version, r.generated_at, r.valid_until
FROM recommendations AS r WHERE r.user_id = ?
"""
READ_SIMILAR = """
SELECT s.item_ids, s.scores,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(s.item_ids) AS e JOIN items AS i ON i.item_id = e.value),
       s.reason, s.run_id, s.version, s.generated_at, s.valid_until
FROM similar_items AS s WHERE s.item_id = ?
"""
READ_POPULAR = """
SELECT l.rank, l.item_id, (SELECT i.title FROM items AS i WHERE i.item_id = l.item_id), l.score,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM popular_items AS l WHERE l."window" = ? AND l.rank <= ? ORDER BY l.rank
"""


def require_version(version: str) -> str:
    """The version, if it may be part of a table's name; BadData otherwise."""
    if not VERSION.fullmatch(version):
        raise BadData(f"version {version!r}: lower-case letters, digits and '_' only, at most 40")
    return version


def _open_read_only(path: Path, wait_seconds: float | None = None) -> sqlite3.Connection:
    """A connection for one thread at a time. wait_seconds: how long it waits for a lock, else as long as a writer."""
    wait_seconds = BUSY_SECONDS if wait_seconds is None else wait_seconds
    address = f"file:{quote(str(path))}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False)


def _file_id(path: Path | str) -> FileId | None:
    try:
        found = os.stat(path)  # noqa: PTH116  at every look-up, and Path's takes twice the time
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _in_sentences(path: Path, wait_seconds: float | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ones that say what to do. wait_seconds: as for _open_read_only."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "no such table" in text:
            raise NothingPublished(path) from error
        if "full" in text:
            raise OSError(errno.ENOSPC, text, str(path)) from error
        if "readonly" in text or ("unable to open" in text and not _may_write(path)):
            raise PermissionError(errno.EACCES, text, str(path)) from error
        if "lock" in text or "busy" in text:  # the third text is "locking protocol"
            waited = BUSY_SECONDS if wait_seconds is None else wait_seconds
            raise TimeoutError(f"{path}: {text}; another program has held the file for more than {waited:g} s") from error
        raise OSError(errno.EIO, text, str(path)) from error
    except sqlite3.DatabaseError as error:
        # so SQLite also calls a page that the disk does not give
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CORRUPT:
            advice = "publish again; if this comes again the file is damaged: move it away first, older versions are lost"
            raise OSError(errno.EIO, f"{error}; {advice}", str(path)) from error
        raise BadData(f"{path}: {error}; move the file away and publish again, older versions are lost") from error


def _may_write(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or (path.is_file() and os.access(path, os.W_OK)))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some errors end it
            db.execute("ROLLBACK")
        raise


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _table(name: str, storage: str) -> str:
    return _quoted(f"{name}_{storage}")


def _is_number(column: Column) -> bool:
    """Whether SQLite has it as a number; everything else is text."""
    return column.type.startswith(("float", "int", "bool"))


def _column_ddl(column: Column) -> str:
    kind = "REAL" if column.type.startswith("float") else "INTEGER" if _is_number(column) else "TEXT"
    return f"{_quoted(column.name)} {kind}{'' if column.nullable else ' NOT NULL'}"


def _fill(db: sqlite3.Connection, name: str, storage: str, batches: Iterable[pa.RecordBatch]) -> tuple[TableHash, TextChecksum]:
    """Write the rows, a transaction a batch: the log stays small, and a switch can come in between.

    Meanwhile the next batch is hashed and turned to text, and the one after it is read. Returns the hash of the values, and that
    of the text that is stored.
    """
    shape = definition(name)
    columns = ", ".join(_column_ddl(column) for column in shape.columns)
    key = ", ".join(_quoted(column) for column in shape.key)
    db.execute(f"CREATE TABLE {_table(name, storage)} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
    insert = f"INSERT INTO {_table(name, storage)} VALUES ({', '.join('?' * len(shape.columns))})"  # noqa: S608  checked identifiers
    hashed, stored = TableHash(shape), TextChecksum(shape)

    def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = as_text(hashed.add(batch), shape)
        if texts.num_rows:
            stored.add(map(_joined, texts.columns))
        return texts

    for texts in one_ahead(map(counted, one_ahead(batches))):
        with _transaction(db):
            db.executemany(insert, zip(*(column.to_pylist() for column in texts.columns), strict=True))
    return hashed, stored


class TextChecksum:
    """CRC-32 of each column of a table, as one text of its values: against accidents and not against people.

    Where a batch ends does not matter: each value but the last of a batch is followed by END, and so is the batch.
    """

    END, NULL = b"\x1f", b"\x1e"  # control characters, which a JSON array does not hold

    def __init__(self, shape: Table) -> None:
        self._sums = [0] * len(shape.columns)

    def add(self, columns: Iterable[bytes]) -> None:
        """Add the next values of each column, joined by END."""
        self._sums = [zlib.crc32(self.END, zlib.crc32(text, before)) for before, text in zip(self._sums, columns, strict=True)]

    def hexdigest(self) -> str:
        """The sums of all columns so far."""
        return hashlib.sha256(repr(self._sums).encode()).hexdigest()


def _joined(texts: pa.StringArray) -> bytes:
    """A column as one text, values joined by END: as `_as_stored_text` makes it of what SQLite gives."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts.fill_null(TextChecksum.NULL.decode()))
    joined: bytes = pc.binary_join(whole, TextChecksum.END.decode())[0].as_buffer()
    return joined


def _require_counts(publication: Publication, hashes: Mapping[str, TableHash]) -> None:
    for name, expected in publication.counts.items():
        if hashes[name].rows != expected:
            raise BadData(f"{name}: {hashes[name].rows} rows came, the run wrote {expected}; publish again")


def _record(db: sqlite3.Connection, staged: Publication, storage: str, checksums: Mapping[str, str]) -> Publication:
    """Let the version's row point to the new tables, unless the version is or was live: that one never changes."""
    with _transaction(db):
        row = db.execute(f"SELECT {FIELDS}, storage FROM publications WHERE version = ?", (staged.version,)).fetchone()  # noqa: S608
        before = _publication(row[:-1]) if row else None
        was_live = before is not None and before.state in ("live", "kept")
        if not was_live:
            _write_row(db, staged, storage, checksums)
        _drop_tables(db, storage if was_live else row[-1] if row else "")
    if before is None or not was_live:
        return staged
    if before.content_hash != staged.content_hash:
        raise BadData(
            f"version {staged.version} is {before.state} with hash {before.content_hash[:12]}, its run now gives"
            f" {staged.content_hash[:12]}; a published version never changes: open a new run"
        )
    return before


def _write_row(db: sqlite3.Connection, publication: Publication, storage: str, checksums: Mapping[str, str]) -> None:
    values = (
        publication.version,
        publication.run_id,
        publication.source,
        publication.as_of.isoformat(),
        publication.model_version,
        publication.generated_at.isoformat(),
        publication.valid_until.isoformat(),
        json.dumps(dict(publication.counts), sort_keys=True),
        publication.content_hash,
        publication.state,
        publication.notes,
        storage,
        json.dumps(dict(checksums)),
    )
    number = "(SELECT COALESCE(MAX(number), 0) + 1 FROM publications)"
    places = ", ".join("?" * len(values))
    db.execute(f"INSERT OR REPLACE INTO publications ({FIELDS}, storage, checksums, number) VALUES ({places}, {number})", values)  # noqa: S608


def _publication(row: tuple[str, ...]) -> Publication:
    version, run_id, source, as_of, model_version, generated_at, valid_until, counts, content_hash, state, notes = row
    return Publication(
        version,
        run_id,
        source,
        datetime.fromisoformat(as_of),
        model_version,
        datetime.fromisoformat(generated_at),
        datetime.fromisoformat(valid_until),
        json.loads(counts),
        content_hash,
        cast(State, state),
        notes,
    )


def _find(db: sqlite3.Connection, version: str) -> tuple[Publication, str]:
    row = db.execute(f"SELECT {FIELDS}, storage FROM publications WHERE version = ?", (version,)).fetchone()  # noqa: S608
    if row is None:
        known = [found for (found,) in db.execute("SELECT version FROM publications WHERE state IN ('staged', 'live', 'kept')")]
        raise BadData(f"there is no version {version!r}; choose from {', '.join(known) or 'none: nothing is published'}")
    return _publication(row[:-1]), row[-1]


def _read_back(db: sqlite3.Connection, name: str, storage: str) -> tuple[int, str]:
    """Rows and checksum of a table as the file has it."""
    shape = definition(name)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"{name}_{storage}",)).fetchone():
        return 0, ""  # no checksum is that; nobody but a person with a tool can have dropped the table
    key = ", ".join(_quoted(column) for column in shape.key)
    columns = ", ".join(_quoted(column.name) if _is_number(column) else f"CAST({_quoted(column.name)} AS BLOB)" for column in shape.columns)
    cursor = db.execute(f"SELECT {columns} FROM {_table(name, storage)} ORDER BY {key}")  # noqa: S608  checked identifiers
    count, stored = 0, TextChecksum(shape)
    for rows in one_ahead(iter(lambda: cursor.fetchmany(READ_ROWS), [])):
        stored.add(_as_stored_text(column, values) for column, values in zip(shape.columns, zip(*rows, strict=True), strict=True))
        count += len(rows)
    return count, stored.hexdigest()


def _as_stored_text(column: Column, values: tuple[Any, ...]) -> bytes:
    """Values of a column as SQLite gives them, back in the text form that was sent: only numbers need turning."""
    import pyarrow as pa

    texts: Iterable[bytes | None] = values
    if column.type.startswith("float"):
        texts = pa.array(values, pa.float64()).cast(pa.float32()).cast(pa.string()).cast(pa.binary()).to_pylist()
    elif _is_number(column):
        texts = [None if value is None else b"%d" % value for value in values]
    try:
        return TextChecksum.END.join(texts)  # type: ignore[arg-type]  # most columns have no null, and this finds out soonest
    except TypeError:
        return TextChecksum.END.join(TextChecksum.NULL if text is None else text for text in texts)


def _decoded(rows: list[tuple[object, ...]], columns: list[Column]) -> pa.RecordBatch:
    import pyarrow as pa

    from hybridrec.tables import arrow_type

    arrays = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        decoded = [json.loads(str(value)) for value in values] if column.type.startswith("list") else list(values)
        turned = [None if value is None else bool(value) for value in decoded] if column.type == "bool" else decoded
        arrays.append(pa.array(turned, arrow_type(column.type)))
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _make_live(db: sqlite3.Connection, version: str, storage: str) -> None:
    origin = f"JOIN publications AS p ON p.version = '{require_version(version)}'"
    for name in PUBLISHED:
        columns = ", ".join(f"t.{_quoted(column)}" for column in definition(name).column_names)
        db.execute(f"DROP VIEW IF EXISTS {_quoted(name)}")
        db.execute(f"CREATE VIEW {_quoted(name)} AS SELECT {columns}, {ORIGIN} FROM {_table(name, storage)} AS t {origin}")  # noqa: S608
    parallel = (("scores", "score"), ("reasons", "reason"), ("sources", "source"))
    values = ", ".join(f"json_extract(t.{array}, '$[' || e.key || ']') AS {value}" for array, value in parallel)
    db.execute("DROP VIEW IF EXISTS recommendations_unnested")
    db.execute(
        f"CREATE VIEW recommendations_unnested AS SELECT t.user_id, e.key + 1 AS rank, e.value AS item_id, {values}, {ORIGIN}"  # noqa: S608
        f" FROM {_table('recommendations', storage)} AS t {origin} JOIN json_each(t.item_ids) AS e"
    )
    db.execute("UPDATE publications SET state = 'kept' WHERE state = 'live'")
    db.execute("UPDATE publications SET state = 'live' WHERE version = ?", (version,))


def _prune(db: sqlite3.Connection, keep: int) -> None:
    found = db.execute("SELECT storage, state FROM publications WHERE state <> 'dropped' ORDER BY number DESC").fetchall()
    for storage, state in found[keep:]:
        if state != "live":
            with _transaction(db):
                db.execute("UPDATE publications SET state = 'dropped' WHERE storage = ? AND state <> 'live'", (storage,))
                if db.execute("SELECT changes()").fetchone()[0]:
                    _drop_tables(db, storage)


def _drop_unreferenced(db: sqlite3.Connection) -> None:
    """Drop what a killed attempt left; the caller is the only stager."""
    with _transaction(db):
        referenced = {storage for (storage,) in db.execute("SELECT storage FROM publications WHERE state <> 'dropped'")}
        prefixes = tuple(f"{name}_" for name in PUBLISHED)
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name.startswith(prefixes)]
        for name in tables:
            if not any(name.endswith(f"_{storage}") for storage in referenced):
                db.execute(f"DROP TABLE {_quoted(name)}")


def _drop_tables(db: sqlite3.Connection, storage: str) -> None:
    for name in PUBLISHED if storage else ():
        db.execute(f"DROP TABLE IF EXISTS {_table(name, storage)}")

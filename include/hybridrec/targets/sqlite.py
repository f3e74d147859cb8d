"""The embedded publish target: one SQLite file that services open read-only.

`<home>/published/recommendations.db` holds for each version its own tables, named by the version and the attempt
that wrote them, and for readers views of the live version. A killed attempt leaves tables that no publication names;
the next one drops them. Write-ahead logging lets readers go on while a version is staged.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hybridrec.base.errors import NothingPublished, PermanentError
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.sqlite.connecting import FileId, file_id, in_sentences, open_read_only, open_to_write, transaction
from hybridrec.sqlite.publications import FIELDS, PUBLICATIONS, find, publication, record
from hybridrec.sqlite.version_tables import (
    READ_ROWS,
    create_table,
    decoded,
    drop_tables,
    drop_unreferenced,
    fill,
    quoted,
    read_back,
    stored_columns,
    table_name,
)
from hybridrec.storage import locks
from hybridrec.versions.content_hash import TableHash, combined_hash
from hybridrec.versions.publications import (
    LISTED,
    POPULAR_SENTENCES,
    PUBLISHED,
    SIMILAR_SENTENCES,
    Answer,
    Entry,
    Publication,
    SimilarItems,
    StoredList,
    Trending,
    definition,
    require_version,
    trending_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

DOC = "SQLite file below the home folder, for services on the same machine."
LOOK_UP_SECONDS = 0.5  # a look-up waits so long for a lock: its caller waits less than a second
LOG_SECONDS = 1.0  # a writer waits so long at its end for readers, to leave an empty log
BLANK_LOG_BYTES = 4096  # of zeros, in which SQLite finds no header
STAGE_WAIT_SECONDS = 600.0
PAGE_BYTES = 16_384  # a row of 20 items has some 2 kB: with the default of 4096 each one spills to an overflow page
STAGE_LOG_PAGES = 4_000  # some 64 MB: rows go on from the log to the file in few large writes, and the log stays bounded

LOOK = "SELECT COUNT(*) FROM sqlite_master"  # from its first look on, a connection is seen by others
ORIGIN = "p.run_id, p.version, p.model_version, p.generated_at, p.valid_until"


def connect(settings: Settings) -> SqliteTarget:
    """Return the published file of this home folder; nothing is opened or made before the first use."""
    return SqliteTarget(settings.published / "recommendations.db")


class Opened(NamedTuple):
    """A connection of look-ups, and the files that it has open: the database and its write-ahead log."""

    db: sqlite3.Connection
    file: FileId
    log: FileId | None


class SqliteTarget:
    """See the module; the Target protocol says what each method promises.

    Look-ups keep one connection, for one thread at a time, and open the file again when another one has replaced it. Only one,
    since of two in this process the first could keep the log's index of the old file under the second, which reads the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._opened: Opened | None = None

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Fill tables of this attempt's own, then make the version's row point to them."""
        require_version(publication.version)
        storage = f"{publication.version}_{uuid.uuid4().hex[:8]}"
        failure = f"{self.path}: another job has been staging for {STAGE_WAIT_SECONDS:.0f} s"
        # One attempt at a time fills tables, so tables without a publication belong to a killed attempt.
        with locks.exclusive(self.path.with_suffix(".lock"), seconds=STAGE_WAIT_SECONDS, failure=failure), self._writer() as db:
            # Nothing of it is live yet, so it need not be on the disk at every batch; the file stays whole, and the
            # switch, in its own connection, brings all that came before it to the disk.
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {STAGE_LOG_PAGES}")
            drop_unreferenced(db)
            try:
                filled = {name: fill(db, name, storage, tables[name]) for name in PUBLISHED}
                hashes = {name: hashed for name, (hashed, _) in filled.items()}
                _require_counts(publication, hashes)
            except BaseException:
                with suppress(sqlite3.Error):  # the disk may be what failed; then the next attempt drops them
                    drop_tables(db, storage)
                raise
            counts = {name: hashed.rows for name, hashed in hashes.items()}
            staged = replace(publication, counts=counts, content_hash=combined_hash(hashes), state="staged")
            return record(db, staged, storage, {name: stored.hexdigest() for name, (_, stored) in filled.items()})

    def check(self, version: str) -> None:
        """Read the version back; a version that fails is rejected for good, unless it is live or was."""
        with self._writer() as db:
            staged, storage = find(db, version)
            [(sums,)] = db.execute("SELECT checksums FROM publications WHERE version = ?", (version,))
            expected = {name: (staged.counts[name], checksum) for name, checksum in json.loads(sums).items()}
            stored = {name: read_back(db, name, storage) for name in expected}  # an earlier release's version has fewer tables
            if stored == expected:
                return
            db.execute("UPDATE publications SET state = 'rejected' WHERE version = ? AND state = 'staged'", (version,))
        [name, *_] = [name for name in expected if stored[name] != expected[name]]
        raise PermanentError(
            f"{self.path}: {name} of version {version} as stored has {stored[name][0]} rows with checksum {stored[name][1][:12]}, expected"
            f" {expected[name][0]} with {expected[name][1][:12]}; stage it again with python -m jobs.publish_table --run-id {staged.run_id}"
        )

    def switch_to(self, version: str, keep: int) -> None:
        """Replace the readers' views in one transaction, then prune."""
        with self._writer() as db:
            with transaction(db):
                publication, storage = find(db, version)
                if publication.state in ("rejected", "dropped"):
                    raise PermanentError(f"{self.path}: version {version} is {publication.state}; choose a staged or kept one")
                if publication.state != "live":
                    _make_live(db, version, storage)
            _prune(db, keep)

    def versions(self) -> list[Publication]:
        """Return all rows of `publications`, newest first."""
        if not self.path.exists():
            return []
        with self._reader() as db:
            return [publication(row) for row in db.execute(f"SELECT {FIELDS} FROM publications ORDER BY number DESC")]  # noqa: S608

    def read_live(self, name: str, columns: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the view of a published table, batch by batch, all from one snapshot."""
        shape = definition(name)
        chosen = [column for column in shape.columns if not columns or column.name in columns]
        with self._reader() as db:
            names = ", ".join(quoted(column.name) for column in chosen)
            key = ", ".join(quoted(column) for column in shape.key)
            cursor = db.execute(f"SELECT {names} FROM {quoted(name)} ORDER BY {key}")  # noqa: S608  names come from definitions
            while rows := cursor.fetchmany(READ_ROWS):
                yield decoded(rows, chosen)

    def read_user(self, user_id: str, surface: str = DEFAULT_SURFACE) -> Answer | None:
        """Return the user's row with the items' titles."""
        asked = (READ_USER, (user_id,)) if surface == DEFAULT_SURFACE else (READ_SURFACE, (surface, user_id))
        with self._looking_up() as db:
            row = db.execute(*asked).fetchone()
        if row is None:
            return None
        item_ids, scores, reasons, sources, titles = (json.loads(text) for text in row[:5])
        entries = tuple(
            Entry(index + 1, item, titles.get(item), scores[index], reasons[index], sources[index]) for index, item in enumerate(item_ids)
        )
        return Answer(user_id, entries, *row[5:])

    def read_popular(self, window: str, k: int) -> Answer:
        """Return the first entries of a window of popular_items."""
        with self._looking_up() as db:
            rows = db.execute(READ_POPULAR, (window, k)).fetchall()
        if not rows:
            raise PermanentError(f"{self.path}: popular_items has no rows of window {window!r}; choose recent or all_time")
        source = f"popular_{window}"
        entries = tuple(Entry(rank, item_id, title, score, POPULAR_SENTENCES[window], source) for rank, item_id, title, score, *_ in rows)
        return Answer("", entries, "unknown_user", None, *rows[0][4:])

    def read_similar(self, item_id: str, k: int) -> SimilarItems | None:
        """Return the item's row with its neighbours' titles."""
        with self._looking_up() as db:
            row = db.execute(READ_SIMILAR, (item_id,)).fetchone()
        if row is None:
            return None
        item_ids, scores, titles = (json.loads(text) for text in row[:3])
        source = row[3]
        pairs = enumerate(zip(item_ids[:k], scores[:k], strict=True), start=1)
        entries = tuple(Entry(rank, item, titles.get(item), score, SIMILAR_SENTENCES[source], source) for rank, (item, score) in pairs)
        return SimilarItems(item_id, entries, *row[4:])

    def read_lists(self, name: str, keys: Sequence[str]) -> list[StoredList]:
        """Return the keys' rows with the items' titles."""
        with self._looking_up() as db:
            rows = db.execute(READ_LISTS[name], (json.dumps(list(keys)),)).fetchall()
        return [
            StoredList(key, json.loads(ids), json.loads(scores), json.loads(titles), (run_id, version, generated_at, valid_until))
            for key, ids, scores, titles, run_id, version, generated_at, valid_until in rows
        ]

    def read_trending(self, k: int) -> Trending | None:
        """Return the first rows of trending."""
        with self._looking_up() as db:
            rows = db.execute(READ_TRENDING, (k,)).fetchall()
        return trending_of(rows)

    def close(self) -> None:
        """Close the connection of look-ups, if one is open."""
        if self._opened is not None:
            self._opened.db.close()
            self._opened = None

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Open a separate connection for jobs: it waits for a lock as long as a writer does."""
        if not self.path.exists():
            raise NothingPublished(self.path)
        with in_sentences(self.path), closing(open_read_only(self.path)) as db:
            yield db

    @contextmanager
    def _looking_up(self) -> Iterator[sqlite3.Connection]:
        """Yield the kept connection to the present file. After an error the file is opened again: it may have been repaired."""
        with in_sentences(self.path, LOOK_UP_SECONDS):
            try:
                yield self._current()
            except sqlite3.Error:
                self.close()
                raise

    def _current(self) -> sqlite3.Connection:
        file = file_id(self.path)
        if file is None:
            self.close()
            raise NothingPublished(self.path)
        log = file_id(self._log_path)
        if self._opened is None or (self._opened.file, self._opened.log) != (file, log):
            self.close()  # first: see the class
            db = open_read_only(self.path, LOOK_UP_SECONDS)
            self._opened = Opened(db, file, log)
            db.execute(LOOK).fetchall()
            self._opened = Opened(db, file, log or file_id(self._log_path))  # opening may have made the log
        return self._opened.db

    @contextmanager
    def _writer(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that writes.

        The last connection to close removes the -wal and -shm files, and a reader who may not write in the folder cannot make them
        again. One that only reads removes nothing: it comes first and goes last, whatever fails in between.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.is_file():
            self.path.open("ab").close()  # the system says better than SQLite why it cannot be made
            self.path.chmod(self.path.parent.stat().st_mode & 0o644)  # who may read the folder may read the file; so are its logs made
        with in_sentences(self.path), closing(open_read_only(self.path)) as last:
            if self._log_path.exists():  # otherwise a file is half made, and a reader cannot repair it
                last.execute(LOOK).fetchall()
            # one thread at a time uses it, but not always the same: the read-back fetches in a second one
            with closing(open_to_write(self.path)) as db:
                db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(PUBLICATIONS)
                last.execute(LOOK).fetchall()  # a new file has its logs only now
                try:
                    yield db
                except BaseException:
                    with suppress(sqlite3.Error, OSError):  # the first error is the one to tell
                        _empty_log(db, self._log_path)
                    raise
                _empty_log(db, self._log_path)


READ_LIST = """
SELECT r.item_ids, r.scores, r.reasons, r.sources,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(r.item_ids) AS e JOIN items AS i ON i.item_id = e.value),
       r.reason, r.shortfall, r.run_id, r.version, r.generated_at, r.valid_until
"""
READ_USER = f"{READ_LIST} FROM recommendations AS r WHERE r.user_id = ?"
READ_SURFACE = f"{READ_LIST} FROM surface_lists AS r WHERE r.surface = ? AND r.user_id = ?"
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
READ_LISTS = {
    name: f"""
SELECT t.{definition(name).key[0]}, t.{ids}, t.scores,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(t.{ids}) AS e JOIN items AS i ON i.item_id = e.value),
       t.run_id, t.version, t.generated_at, t.valid_until
FROM json_each(?) AS k JOIN {name} AS t ON t.{definition(name).key[0]} = k.value ORDER BY k.key
"""  # noqa: S608  names come from definitions
    for name, ids in LISTED.items()
}
READ_TRENDING = """
SELECT l.rank, l.item_id, (SELECT i.title FROM items AS i WHERE i.item_id = l.item_id), l.score, l.window_days,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM trending AS l WHERE l.rank <= ? ORDER BY l.rank
"""


def _empty_log(db: sqlite3.Connection, log: Path) -> None:
    """Leave a log that holds nothing: SQLite would replay it over another file that a person puts in this one's place.

    It is longer than a log's header, of 32 bytes. If a writer died with nothing but the header on the disk, SQLite would refuse a reader
    without write permission, with "locking protocol", until the next write; it accepts a header that is not alone.
    """
    db.execute(f"PRAGMA busy_timeout = {LOG_SECONDS * 1000:.0f}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try:
        with transaction(db):  # no other writer may add to it meanwhile
            if log.stat().st_size == 0:
                os.truncate(log, BLANK_LOG_BYTES)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:  # another writer is at work, and empties it at its own end
            raise


def _require_counts(publication: Publication, hashes: Mapping[str, TableHash]) -> None:
    for name, expected in publication.counts.items():
        if hashes[name].rows != expected:
            raise PermanentError(f"{name}: {hashes[name].rows} rows came, the run wrote {expected}; publish again")


def _make_live(db: sqlite3.Connection, version: str, storage: str) -> None:
    origin = f"JOIN publications AS p ON p.version = '{require_version(version)}'"
    for name in PUBLISHED:
        create_table(db, name, storage)  # where an earlier release has staged the version without it
        there = stored_columns(db, name, storage)
        columns = ", ".join(f"t.{quoted(c.name)}" if c in there else f"NULL AS {quoted(c.name)}" for c in definition(name).columns)
        db.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        db.execute(f"CREATE VIEW {quoted(name)} AS SELECT {columns}, {ORIGIN} FROM {table_name(name, storage)} AS t {origin}")  # noqa: S608
    parallel = (("scores", "score"), ("reasons", "reason"), ("sources", "source"))
    values = ", ".join(f"json_extract(t.{array}, '$[' || e.key || ']') AS {value}" for array, value in parallel)
    db.execute("DROP VIEW IF EXISTS recommendations_unnested")
    db.execute(
        f"CREATE VIEW recommendations_unnested AS SELECT t.user_id, e.key + 1 AS rank, e.value AS item_id, {values}, {ORIGIN}"  # noqa: S608
        f" FROM {table_name('recommendations', storage)} AS t {origin} JOIN json_each(t.item_ids) AS e"
    )
    db.execute("UPDATE publications SET state = 'kept' WHERE state = 'live'")
    db.execute("UPDATE publications SET state = 'live' WHERE version = ?", (version,))


def _prune(db: sqlite3.Connection, keep: int) -> None:
    stored = db.execute("SELECT storage, state FROM publications WHERE state <> 'dropped' ORDER BY number DESC").fetchall()
    for storage, state in stored[keep:]:
        if state != "live":
            with transaction(db):
                db.execute("UPDATE publications SET state = 'dropped' WHERE storage = ? AND state <> 'live'", (storage,))
                if db.execute("SELECT changes()").fetchone()[0]:
                    drop_tables(db, storage)

"""The publish target of a company: one PostgreSQL database that services on other machines read.

Each version has its own schema, named by the version and the attempt that wrote it; the schema `hybridrec` holds
`publications` and the views of the live version. A killed attempt leaves a schema that no publication names; the next one
drops it. Readers have a role that may read the views and nothing else.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.base.waiting import first_true
from hybridrec.postgresql import rights
from hybridrec.postgresql.checksum import TableChecksum
from hybridrec.postgresql.connecting import LOCK_MS, LOOK_UP_MS, database_error, for_look_ups, in_sentences, parsed, transaction
from hybridrec.postgresql.rows import batches, fill, replace_views, stored, value
from hybridrec.postgresql.version_tables import (
    add_keys,
    create_missing,
    create_tables,
    drop_tables,
    drop_unreferenced,
    qualified,
    quoted,
    shown_columns,
)
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
    other_tables,
    require_version,
    trending_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection as BulkConnection
    from psycopg import Connection

DOC = "PostgreSQL, for services on other machines; HYBRIDREC_POSTGRES is its address."
STAGE_WAIT_SECONDS = 600.0
SWITCH_WAIT_SECONDS = 60.0
SWITCH_LOCK_MS = 20  # while a switch waits for a view, new readers wait behind it: ten views make at most 0.2 s; then it tries again
STAGE_KEY = 4_730_100  # advisory lock of this database: the only stager

VIEWS = (*PUBLISHED, "recommendations_unnested")
PUBLICATIONS = """
CREATE TABLE IF NOT EXISTS hybridrec.publications (
    version text PRIMARY KEY, number bigint NOT NULL UNIQUE, run_id text NOT NULL, source text NOT NULL, as_of timestamptz NOT NULL,
    model_version text NOT NULL, generated_at timestamptz NOT NULL, valid_until timestamptz NOT NULL, counts jsonb NOT NULL,
    content_hash text NOT NULL, state text NOT NULL, notes text NOT NULL, storage text NOT NULL, checksums jsonb NOT NULL
)
"""
FIELDS = "version, run_id, source, as_of, model_version, generated_at, valid_until, counts, content_hash, state, notes"
ORIGIN = "p.run_id, p.version, p.model_version, p.generated_at, p.valid_until"


def connect(settings: Settings) -> PostgresTarget:
    """Return the database of HYBRIDREC_POSTGRES; nothing is opened before the first use. PermanentError when there is no address."""
    return PostgresTarget(settings.postgres, settings.postgres_reader, settings.threads)


class PostgresTarget:
    """See the module; the Target protocol says what each method promises.

    address: libpq URI or key words; the password may come from PGPASSWORD or PGPASSFILE. Messages name host, port and database only.
    reader: the role of services. loaders: connections that load a table at the same time. Look-ups may be asked for by several
    threads, which take turns at the connections that are kept open.
    """

    parallel_reads = 4

    def __init__(self, address: str, reader: str, loaders: int = 2) -> None:
        self._conninfo, self.shown = parsed(address)
        self.reader, self._loaders = reader, loaders
        self._look_up_conninfo = for_look_ups(self._conninfo)
        self._idle: list[Connection[tuple[Any, ...]]] = []

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Fill a schema of this attempt's own, then make the version's row point to it."""
        require_version(publication.version)
        storage = f"hybridrec_{publication.version}_{uuid.uuid4().hex[:8]}"
        with self._writer() as db, self._only_stager(db):
            rights.require_narrow_reader(db, self.reader, (*VIEWS, "publications"))
            drop_unreferenced(db)
            try:
                create_tables(db, storage)
                with self._bulk(self._loaders) as bulks:
                    sent = {name: fill(bulks, name, storage, tables[name]) for name in PUBLISHED}
                _require_counts(publication, sent)
                add_keys(db, storage)
            except Exception:
                with suppress(OSError, database_error()):  # the server may be what failed; then the next attempt drops it
                    drop_tables(db, storage)
                raise
            counts = {name: hashed.rows for name, (hashed, _) in sent.items()}
            content_hash = combined_hash({name: hashed for name, (hashed, _) in sent.items()})
            staged = replace(publication, counts=counts, content_hash=content_hash, state="staged")
            return _record(db, staged, storage, {name: summed.value for name, (_, summed) in sent.items()})

    def check(self, version: str) -> None:
        """Let the server sum up what it has stored; a version that fails is rejected for good, unless it is live or was."""
        with self._writer() as db:
            staged, storage = _find(db, version)
            [(sums,)] = db.execute("SELECT checksums FROM hybridrec.publications WHERE version = %s", (version,))
            expected = {name: (staged.counts[name], checksum) for name, checksum in sums.items()}
            summed = {name: stored(db, name, storage) for name in expected}  # an earlier release's version has fewer tables
            if summed == expected:
                return
            db.execute("UPDATE hybridrec.publications SET state = 'rejected' WHERE version = %s AND state = 'staged'", (version,))
        [name, *_] = [name for name in expected if summed[name] != expected[name]]
        raise PermanentError(
            f"{self.shown}: {name} of version {version} as stored has {summed[name][0]} rows with checksum {summed[name][1]:x}, expected"
            f" {expected[name][0]} with {expected[name][1]:x}; stage it again with python -m jobs.publish_table --run-id {staged.run_id}"
        )

    def switch_to(self, version: str, keep: int) -> None:
        """Replace the readers' views in one transaction, then prune."""
        with self._writer() as db:
            if not first_true(lambda: self._switched(db, version), SWITCH_WAIT_SECONDS, every=0.1):
                raise TimeoutError(f"{self.shown}: a reader's transaction has held the views for {SWITCH_WAIT_SECONDS:.0f} s; end it")
            _prune(db, keep)

    def versions(self) -> list[Publication]:
        """Return all rows of `publications`, newest first."""
        with in_sentences(self.shown), closing(self._connection(self._conninfo)) as db:
            if value(db, "SELECT to_regclass('hybridrec.publications')") is None:
                return []
            return [Publication(*row) for row in db.execute(f"SELECT {FIELDS} FROM hybridrec.publications ORDER BY number DESC")]  # noqa: S608

    def read_live(self, name: str, columns: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the view of a published table, batch by batch, all from one snapshot; a switch waits until the last one is read."""
        shape = definition(name)
        chosen = [column for column in shape.columns if not columns or column.name in columns]
        with self._bulk() as [bulk]:
            yield from batches(bulk, f"hybridrec.{quoted(name)}", chosen, shape.key)

    def read_user(self, user_id: str, surface: str = DEFAULT_SURFACE) -> Answer | None:
        """Return the user's row with the items' titles."""
        rows = self._rows(READ_USER, (user_id,)) if surface == DEFAULT_SURFACE else self._rows(READ_SURFACE, (surface, user_id))
        if not rows:
            return None
        item_ids, scores, reasons, sources, titles, reason, shortfall, *origin = rows[0]
        entries = tuple(
            Entry(index + 1, item, (titles or {}).get(item), scores[index], reasons[index], sources[index])
            for index, item in enumerate(item_ids)
        )
        return Answer(user_id, entries, reason, shortfall, *_as_text(origin))

    def read_popular(self, window: str, k: int) -> Answer:
        """Return the first entries of a window of popular_items."""
        rows = self._rows(READ_POPULAR, (window, k))
        if not rows:
            raise PermanentError(f"{self.shown}: popular_items has no rows of window {window!r}; choose recent or all_time")
        source = f"popular_{window}"
        entries = tuple(Entry(rank, item_id, title, score, POPULAR_SENTENCES[window], source) for rank, item_id, title, score, *_ in rows)
        return Answer("", entries, "unknown_user", None, *_as_text(rows[0][4:]))

    def read_similar(self, item_id: str, k: int) -> SimilarItems | None:
        """Return the item's row with its neighbours' titles."""
        rows = self._rows(READ_SIMILAR, (item_id,))
        if not rows:
            return None
        item_ids, scores, titles, source, *origin = rows[0]
        pairs = enumerate(zip(item_ids[:k], scores[:k], strict=True), start=1)
        entries = tuple(
            Entry(rank, item, (titles or {}).get(item), score, SIMILAR_SENTENCES[source], source) for rank, (item, score) in pairs
        )
        return SimilarItems(item_id, entries, *_as_text(origin))

    def read_lists(self, name: str, keys: Sequence[str]) -> list[StoredList]:
        """Return the keys' rows with the items' titles."""
        position = {key: number for number, key in enumerate(keys)}
        rows = sorted(self._rows(READ_LISTS[name], (list(keys),)), key=lambda row: position[row[0]])
        return [StoredList(key, ids, scores, titles or {}, _as_text(origin)) for key, ids, scores, titles, *origin in rows]

    def read_trending(self, k: int) -> Trending | None:
        """Return the first rows of trending."""
        return trending_of([(*row[:5], *_as_text(row[5:])) for row in self._rows(READ_TRENDING, (k,))])

    def close(self) -> None:
        """Close the connections of look-ups that no look-up uses now."""
        while (db := self._kept()) is not None:
            db.close()

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Return all rows of a look-up; if the server has ended the kept connection meanwhile, by a new one."""
        with in_sentences(self.shown, LOOK_UP_MS):
            if (kept := self._kept()) is not None:
                try:
                    return self._asked(kept, query, values)
                except database_error():
                    if not kept.closed:
                        raise
                    self.close()  # it has ended the others too
            return self._asked(self._connection(self._look_up_conninfo), query, values)

    def _asked(self, db: Connection[tuple[Any, ...]], query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Return all rows; the connection is kept unless it broke."""
        try:
            return db.execute(query, values).fetchall()
        finally:
            if not db.closed:
                self._idle.append(db)

    def _kept(self) -> Connection[tuple[Any, ...]] | None:
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _connection(self, conninfo: str) -> Connection[tuple[Any, ...]]:
        import psycopg

        # Statements are not prepared: behind a pool the next one may come to another server process.
        return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)

    @contextmanager
    def _writer(self) -> Iterator[Connection[tuple[Any, ...]]]:
        with in_sentences(self.shown), closing(self._connection(self._conninfo)) as db:
            db.execute(f"SET lock_timeout = {LOCK_MS}")
            rights.require_publisher(db, self.reader)
            with transaction(db):
                db.execute("CREATE SCHEMA IF NOT EXISTS hybridrec")
                db.execute(PUBLICATIONS)
                db.execute(f"GRANT USAGE ON SCHEMA hybridrec TO {quoted(self.reader)}")
                db.execute(f"GRANT SELECT ON hybridrec.publications TO {quoted(self.reader)}")
            yield db

    @contextmanager
    def _bulk(self, number: int = 1) -> Iterator[list[BulkConnection]]:
        """Open connections that exchange Arrow batches."""
        from adbc_driver_postgresql import dbapi

        with in_sentences(self.shown), ExitStack() as stack:
            yield [stack.enter_context(closing(dbapi.connect(self._conninfo))) for _ in range(number)]

    @contextmanager
    def _only_stager(self, db: Connection[tuple[Any, ...]]) -> Iterator[None]:
        """Let one attempt at a time fill tables, so tables without a publication belong to a killed attempt.

        The server gives the lock free when the connection ends, whatever ended it.
        """
        if not first_true(lambda: value(db, "SELECT pg_try_advisory_lock(%s)", STAGE_KEY), STAGE_WAIT_SECONDS, every=0.2):
            raise TimeoutError(f"{self.shown}: another job has been staging for {STAGE_WAIT_SECONDS:.0f} s")
        yield

    def _switched(self, db: Connection[tuple[Any, ...]], version: str) -> bool:
        """Return whether the version is live now; False when a reader held a view."""
        from psycopg import errors

        try:
            with transaction(db, SWITCH_LOCK_MS):
                publication, storage = _find(db, version)
                if publication.state in ("rejected", "dropped"):
                    raise PermanentError(f"{self.shown}: version {version} is {publication.state}; choose a staged or kept one")
                if publication.state != "live":
                    _make_live(db, version, storage, self.reader)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            return False
        return True


# The views are locked in the order in which a query names them, and a switch replaces them in that of PUBLISHED: `items` comes last.
TITLES = "(SELECT json_object_agg(i.item_id, i.title) FROM hybridrec.items AS i WHERE i.item_id = ANY ({}.item_ids))"
READ_LIST = f"""
SELECT r.item_ids, r.scores, r.reasons, r.sources, {TITLES.format("r")},
       r.reason, r.shortfall, r.run_id, r.version, r.generated_at, r.valid_until
"""
READ_USER = f"{READ_LIST} FROM hybridrec.recommendations AS r WHERE r.user_id = %s"
READ_SURFACE = f"{READ_LIST} FROM hybridrec.surface_lists AS r WHERE r.surface = %s AND r.user_id = %s"
READ_SIMILAR = f"""
SELECT s.item_ids, s.scores, {TITLES.format("s")}, s.reason, s.run_id, s.version, s.generated_at, s.valid_until
FROM hybridrec.similar_items AS s WHERE s.item_id = %s
"""  # noqa: S608
READ_POPULAR = """
SELECT l.rank, l.item_id, (SELECT i.title FROM hybridrec.items AS i WHERE i.item_id = l.item_id), l.score,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM hybridrec.popular_items AS l WHERE l."window" = %s AND l.rank <= %s ORDER BY l.rank
"""
READ_LISTS = {
    name: f"""
SELECT t.{definition(name).key[0]}, t.{ids}, t.scores,
       (SELECT json_object_agg(i.item_id, i.title) FROM hybridrec.items AS i WHERE i.item_id = ANY (t.{ids})),
       t.run_id, t.version, t.generated_at, t.valid_until
FROM hybridrec.{name} AS t WHERE t.{definition(name).key[0]} = ANY (%s::text[])
"""  # noqa: S608  names come from definitions
    for name, ids in LISTED.items()
}
READ_TRENDING = """
SELECT l.rank, l.item_id, (SELECT i.title FROM hybridrec.items AS i WHERE i.item_id = l.item_id), l.score, l.window_days,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM hybridrec.trending AS l WHERE l.rank <= %s ORDER BY l.rank
"""


def _require_counts(publication: Publication, sent: Mapping[str, tuple[TableHash, TableChecksum]]) -> None:
    for name, expected in publication.counts.items():
        if sent[name][0].rows != expected:
            raise PermanentError(f"{name}: {sent[name][0].rows} rows came, the run wrote {expected}; publish again")


def _record(db: Connection[tuple[Any, ...]], staged: Publication, storage: str, checksums: Mapping[str, int]) -> Publication:
    """Let the version's row point to the new tables, unless the version is or was live: that one never changes."""
    with transaction(db):
        query = f"SELECT {FIELDS}, storage, checksums FROM hybridrec.publications WHERE version = %s"  # noqa: S608
        row = db.execute(query, (staged.version,)).fetchone()
        before = Publication(*row[:-2]) if row else None
        if row is None or before is None or before.state not in ("live", "kept"):
            _write_row(db, staged, storage, checksums)
            drop_tables(db, row[-2] if row else "")
            return staged
        drop_tables(db, storage)
    if before.content_hash != staged.content_hash or other_tables(row[-1], checksums):
        raise PermanentError(
            f"version {staged.version} is {before.state} with hash {before.content_hash[:12]}, its run now gives"
            f" {staged.content_hash[:12]}; a published version never changes: open a new run"
        )
    return before


def _write_row(db: Connection[tuple[Any, ...]], publication: Publication, storage: str, checksums: Mapping[str, int]) -> None:
    values = {field: getattr(publication, field) for field in FIELDS.split(", ")} | {"storage": storage}
    values |= {"counts": json.dumps(dict(publication.counts)), "checksums": json.dumps(dict(checksums))}
    db.execute("DELETE FROM hybridrec.publications WHERE version = %s", (publication.version,))
    number = "(SELECT COALESCE(MAX(number), 0) + 1 FROM hybridrec.publications)"
    placeholders = ", ".join(["%s"] * len(values))
    query = f"INSERT INTO hybridrec.publications ({', '.join(values)}, number) VALUES ({placeholders}, {number})"  # noqa: S608
    db.execute(query, tuple(values.values()))


def _find(db: Connection[tuple[Any, ...]], version: str) -> tuple[Publication, str]:
    row = db.execute(f"SELECT {FIELDS}, storage FROM hybridrec.publications WHERE version = %s", (version,)).fetchone()  # noqa: S608
    if row is None:
        versions = db.execute("SELECT version FROM hybridrec.publications WHERE state IN ('staged', 'live', 'kept') ORDER BY number")
        known = ", ".join(name for (name,) in versions)
        raise PermanentError(f"there is no version {version!r}; choose from {known or 'none: nothing is published'}")
    return Publication(*row[:-1]), row[-1]


def _as_text(origin: Iterable[Any]) -> tuple[str, str, str, str]:
    run_id, version, generated_at, valid_until = origin
    return run_id, version, generated_at.isoformat(), valid_until.isoformat()


def _make_live(db: Connection[tuple[Any, ...]], version: str, storage: str, reader: str) -> None:
    origin = f"JOIN hybridrec.publications AS p ON p.version = '{require_version(version)}'"
    queries = {}
    create_missing(db, storage)  # where an earlier release has staged the version without them
    for name in PUBLISHED:
        columns = shown_columns(db, name, storage)
        queries[name] = f"SELECT {columns}, {ORIGIN} FROM {qualified(name, storage)} AS t {origin}"  # noqa: S608
    queries["recommendations_unnested"] = (
        f"SELECT t.user_id, e.rank::integer AS rank, e.item_id, e.score, e.reason, e.source, {ORIGIN}"  # noqa: S608
        f" FROM {qualified('recommendations', storage)} AS t {origin} CROSS JOIN LATERAL"
        " unnest(t.item_ids, t.scores, t.reasons, t.sources) WITH ORDINALITY AS e (item_id, score, reason, source, rank)"
    )
    db.execute("UPDATE hybridrec.publications SET state = 'kept' WHERE state = 'live'")
    db.execute("UPDATE hybridrec.publications SET state = 'live' WHERE version = %s", (version,))
    replace_views(db, {f"hybridrec.{quoted(name)}": query for name, query in queries.items()})  # last: readers wait from here on
    db.execute(f"GRANT SELECT ON {', '.join(f'hybridrec.{quoted(name)}' for name in queries)} TO {quoted(reader)}")


def _prune(db: Connection[tuple[Any, ...]], keep: int) -> None:
    """Drop versions beyond the newest `keep`; a version that is still read is dropped by the next switch."""
    from psycopg import errors

    stored = db.execute("SELECT storage, state FROM hybridrec.publications WHERE state <> 'dropped' ORDER BY number DESC").fetchall()
    for storage, state in stored[keep:]:
        if state != "live":
            with suppress(errors.LockNotAvailable), transaction(db, SWITCH_LOCK_MS):
                update = "UPDATE hybridrec.publications SET state = 'dropped' WHERE storage = %s AND state <> 'live'"
                if db.execute(update, (storage,)).rowcount:
                    drop_tables(db, storage)

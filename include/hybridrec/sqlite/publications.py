"""The table `publications`: one row a version, which points to the version's tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from hybridrec.base.errors import PermanentError
from hybridrec.sqlite.connecting import transaction
from hybridrec.sqlite.version_tables import drop_tables
from hybridrec.versions.publications import (
    Publication,
    State,
    other_tables,
)

PUBLICATIONS = """
CREATE TABLE IF NOT EXISTS publications (
    version TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, run_id TEXT NOT NULL, source TEXT NOT NULL, as_of TEXT NOT NULL,
    model_version TEXT NOT NULL, generated_at TEXT NOT NULL, valid_until TEXT NOT NULL, counts TEXT NOT NULL,
    content_hash TEXT NOT NULL, state TEXT NOT NULL, notes TEXT NOT NULL, storage TEXT NOT NULL, checksums TEXT NOT NULL
) WITHOUT ROWID
"""
FIELDS = "version, run_id, source, as_of, model_version, generated_at, valid_until, counts, content_hash, state, notes"


def record(db: sqlite3.Connection, staged: Publication, storage: str, checksums: Mapping[str, str]) -> Publication:
    """Let the version's row point to the new tables, unless the version is or was live: that one never changes."""
    with transaction(db):
        row = db.execute(f"SELECT {FIELDS}, storage, checksums FROM publications WHERE version = ?", (staged.version,)).fetchone()  # noqa: S608
        before = publication(row[:-2]) if row else None
        was_live = before is not None and before.state in ("live", "kept")
        if not was_live:
            _write_row(db, staged, storage, checksums)
        drop_tables(db, storage if was_live else row[-2] if row else "")
    if before is None or not was_live:
        return staged
    if before.content_hash != staged.content_hash or other_tables(json.loads(row[-1]), checksums):
        raise PermanentError(
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
    placeholders = ", ".join("?" * len(values))
    db.execute(f"INSERT OR REPLACE INTO publications ({FIELDS}, storage, checksums, number) VALUES ({placeholders}, {number})", values)  # noqa: S608


def publication(row: tuple[str, ...]) -> Publication:
    """Read a row of FIELDS."""
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


def find(db: sqlite3.Connection, version: str) -> tuple[Publication, str]:
    """Find a version and its storage; PermanentError names the choices."""
    row = db.execute(f"SELECT {FIELDS}, storage FROM publications WHERE version = ?", (version,)).fetchone()  # noqa: S608
    if row is None:
        known = [name for (name,) in db.execute("SELECT version FROM publications WHERE state IN ('staged', 'live', 'kept')")]
        raise PermanentError(f"there is no version {version!r}; choose from {', '.join(known) or 'none: nothing is published'}")
    return publication(row[:-1]), row[-1]

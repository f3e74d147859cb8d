"""Tasks of the writing processes: commit to a dataset, publish to a target; and the views of their readers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pyarrow.compute  # noqa: F401  imported before a child needs it
import pyarrow.parquet as pq

from hybridrec.storage import store
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.content_hash import TableHash, combined_hash
from hybridrec.versions.publications import PUBLISHED, Target, definition
from tests.support.database import READER
from tests.support.published_rows import publish, rows

KEEP = 2  # versions of a target
DATASET, FIGURES, DATABASE = "dataset", "figures.json", "recommendations.db"
N_USERS = 3


def write_artefact(folder: str, version: str) -> None:
    """Write a folder with a table, a text and a figure, like a model or report: all files are new each time."""
    with store.staged(Path(folder) / DATASET, keep=1) as attempt:
        (attempt / "part=1").mkdir()
        pq.write_table(rows("items", version), attempt / "part=1" / "part-0.parquet")
        (attempt / "version.txt").write_text(version)
        store.write_json(attempt / "figures.json", {"version": version})


def read_artefact(folder: str, _: str = "") -> str:
    """Return the version of all files of the artefact; an error when they differ or one is not whole."""
    return read_files(Path(folder) / DATASET, store.read_manifest(Path(folder) / DATASET))


def read_files(dataset: Path, manifest: store.Manifest) -> str:
    """Return the version of the files of an artefact's manifest."""
    [attempt] = {name.split("/")[0] for name in manifest.files}
    assert store.hash_files(dataset / attempt) == manifest.content_hash
    assert store.files_below(dataset, dataset / attempt) == manifest.files
    return (dataset / attempt / "version.txt").read_text()


def write_days(folder: str, version: str) -> None:
    """Write two of four days again and carry the others over, like an ingest of late events."""
    dataset = Path(folder) / DATASET
    previous = store.read_manifest(dataset).files if store.is_committed(dataset) else ()
    number = int(version)
    attempt = store.new_attempt(dataset)
    for day in (number % 4, (number + 1) % 4):
        (attempt / f"day={day}").mkdir()
        (attempt / f"day={day}" / "rows.txt").write_text(version)
    written = store.files_below(dataset, attempt)
    new = {file.split("/", 1)[1] for file in written}
    files = (*written, *(file for file in previous if file.split("/", 1)[1] not in new))
    store.commit(dataset, store.Manifest(tuple(sorted(files)), len(files), version), keep=1)


def read_days(folder: str, _: str = "") -> str:
    """Return the version of the dataset; an error unless the newest days are of it and no day is missing."""
    dataset = Path(folder) / DATASET
    manifest = store.read_manifest(dataset)
    days = {name.split("/")[1]: int((dataset / name).read_text()) for name in manifest.files}
    number = int(manifest.content_hash)
    assert days[f"day={number % 4}"] == days[f"day={(number + 1) % 4}"] == number
    assert len(days) == min(4, 2 + number)
    return manifest.content_hash


def write_figures(folder: str, version: str) -> None:
    """Write a small JSON file."""
    store.write_json(Path(folder) / FIGURES, {"version": version, "n": list(range(100))})


def read_figures(folder: str, _: str = "") -> str:
    """Return the version of the JSON file."""
    found = json.loads((Path(folder) / FIGURES).read_text())
    assert found["n"] == list(range(100))
    return str(found["version"])


def read_target(target: Target) -> str:
    """Return the live version; an error unless its rows have the hash that its publication states and an answer is of it."""
    answer = target.read_user("u00001")  # says so when nothing is published
    [live] = [found for found in target.versions() if found.state == "live"]
    hashes = {name: TableHash(definition(name)) for name in PUBLISHED}
    for name, hashed in hashes.items():
        for batch in target.read_live(name):
            hashed.add(batch)
    assert combined_hash(hashes) == live.content_hash
    assert answer is not None
    assert answer.version == live.version
    assert f'"{live.version}"' in answer.entries[0].reason
    return live.version


def publish_sqlite(folder: str, version: str) -> None:
    """Publish a version to the file."""
    publish(SqliteTarget(Path(folder) / DATABASE), version, version, KEEP, N_USERS)


def read_sqlite(folder: str, _: str = "") -> str:
    """Return the file's live version."""
    return read_target(SqliteTarget(Path(folder) / DATABASE))


def publish_postgres(address: str, version: str) -> None:
    """Publish a version to the database."""
    publish(PostgresTarget(address, READER), version, version, KEEP, N_USERS)


def read_postgres(address: str, _: str = "") -> str:
    """Return the database's live version, as a service sees it."""
    target = PostgresTarget(address, READER)
    try:
        return read_target(target)
    finally:
        target.close()


TASKS = {
    task.__name__: task
    for task in (
        write_artefact, read_artefact, write_days, read_days, write_figures, read_figures, publish_sqlite, read_sqlite, publish_postgres,
        read_postgres,
    )
}  # fmt: skip


def warm_up() -> None:
    """Import, compile or start everything with a slow first use before a child needs it."""
    with tempfile.TemporaryDirectory() as folder:
        write_artefact(folder, "0")
        publish_sqlite(folder, "0")
        read_sqlite(folder)

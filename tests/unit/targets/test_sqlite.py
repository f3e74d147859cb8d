"""Promises of the SQLite file beyond every target's: readers beside writers, killed writers, damage."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.sqlite import connecting
from hybridrec.sqlite.look_up_queries import READ_LISTS
from hybridrec.targets import sqlite
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import BESIDE_LISTS, PUBLISHED
from tests.support.published_rows import SINCE, earlier_definition, publication, publish, publish_beside_readers, tables
from tests.support.sqlite_tables import sql, stored_tables


@pytest.fixture
def target(tmp_path: Path) -> SqliteTarget:
    return SqliteTarget(tmp_path / "published" / "recommendations.db")


def test_readers_see_only_whole_versions(target: SqliteTarget) -> None:
    publish_beside_readers(target, lambda: SqliteTarget(target.path), n_versions=20)


def test_the_unnested_view_has_a_row_per_place(target: SqliteTarget) -> None:
    publish(target, "v1", "one")
    rows = sql(target, "SELECT rank, item_id, score, source, run_id, version FROM recommendations_unnested WHERE user_id = 'u00001'")
    assert rows == [
        (place + 1, f"i{place + 1:03d}", pytest.approx(0.9 - 0.1 * place, abs=1e-5), "als+content", "run-v1", "v1") for place in range(5)
    ]
    assert sql(target, "SELECT COUNT(*) FROM recommendations_unnested") == [(250,)]


def test_a_user_is_found_by_the_key_and_not_by_a_scan(target: SqliteTarget) -> None:
    publish(target, "v1", "one")
    for view in ("recommendations", "recommendations_unnested"):
        plan = sql(target, f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE user_id = 'u00001'")
        told = " ".join(str(step[3]) for step in plan)
        assert "SEARCH t USING PRIMARY KEY (user_id=?)" in told
        assert "SCAN t" not in told


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_row_says_run_version_and_times(target: SqliteTarget, name: str) -> None:
    publish(target, "v1", "one")
    origins = sql(target, f"SELECT DISTINCT run_id, version, model_version, generated_at, valid_until FROM {name}")
    assert origins == [("run-v1", "v1", "3", "2026-04-11T00:00:00+00:00", "2026-04-13T00:00:00+00:00")]


def test_a_version_of_an_earlier_release_can_be_gone_back_to(target: SqliteTarget) -> None:
    """It has no tables besides the lists, and no checksums of them."""
    publish(target, "v1", "one")
    for name in BESIDE_LISTS:
        [stored] = [table for table in stored_tables(target) if table.startswith(f"{name}_v1")]
        sql(target, f'DROP VIEW "{name}"')
        sql(target, f'DROP TABLE "{stored}"')
        sql(target, f"UPDATE publications SET checksums = json_remove(checksums, '$.{name}'), counts = json_remove(counts, '$.{name}')")
    assert target.read_trending(3) is None, "before the next publication too"
    assert (target.read_lists("buy_again", ["u00000"]), target.read_user("u00002", "email")) == ([], None)
    publish(target, "v2", "two")
    target.check("v1")
    target.switch_to("v1", 3)
    answer = target.read_user("u00001")
    assert answer is not None
    assert answer.version == "v1"
    assert target.read_trending(3) is None
    assert target.read_lists("buy_again", ["u00000"]) == []
    target.switch_to("v2", 3)
    assert target.read_lists("buy_again", ["u00000"])[0].origin[1] == "v2"


def test_a_version_with_fewer_columns_can_be_gone_back_to(target: SqliteTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        for module in ("sqlite.version_tables", "targets.sqlite"):
            earlier.setattr(f"hybridrec.{module}.definition", earlier_definition)
        publish(target, "v1", "one")
    publish(target, "v2", "two")
    target.check("v1")
    target.switch_to("v1", 3)
    answer = target.read_user("u00001")
    assert answer is not None and answer.version == "v1"
    rows = pa.Table.from_batches(target.read_live("recommendations"))
    assert rows.select(SINCE).combine_chunks().to_pylist() == [dict.fromkeys(SINCE)] * rows.num_rows
    target.switch_to("v2", 3)
    assert pa.Table.from_batches(target.read_live("recommendations"))["arm"].null_count < rows.num_rows


@pytest.mark.parametrize("name", BESIDE_LISTS)
def test_a_tampered_table_besides_the_lists_is_rejected(target: SqliteTarget, name: str) -> None:
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    [stored] = [table for table in stored_tables(target) if table.startswith(f"{name}_v2")]
    column = "score" if name == "trending" else "scores"
    sql(target, f'UPDATE "{stored}" SET {column} = (SELECT max({column}) || 1 FROM "{stored}")')
    with pytest.raises(PermanentError, match=f"{name} of version v2 as stored"):
        target.check("v2")


def test_several_items_are_found_by_the_key_and_not_by_a_scan(target: SqliteTarget) -> None:
    publish(target, "v1", "one")
    for query in READ_LISTS.values():
        told = " ".join(str(step[3]) for step in sql(target, f"EXPLAIN QUERY PLAN {query.replace('?', repr('[1]'))}"))
        assert "SEARCH t USING PRIMARY KEY" in told
        assert "SCAN t" not in told


def test_dropped_versions_leave_no_tables(target: SqliteTarget) -> None:
    for number in range(4):
        publish(target, f"v{number}", f"mark{number}", keep=2)
    assert len(stored_tables(target)) == 2 * len(PUBLISHED)
    assert {name.rsplit("_", 2)[1] for name in stored_tables(target)} == {"v3", "v2"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {table} SET strategy = 'other' WHERE user_id = 'u00007'",
        "UPDATE {table} SET shortfall = '' WHERE shortfall IS NULL AND user_id = 'u00007'",
        "UPDATE {table} SET strategy = strategy || segment, segment = '' WHERE user_id = 'u00007'",
        "UPDATE {table} SET strategy = iif(user_id = 'u00007', strategy || 'x', substr(strategy, 2)) WHERE user_id IN ('u00007', 'u00008')",
        "UPDATE {table} SET item_ids = (SELECT item_ids FROM {table} WHERE user_id = 'u00008') WHERE user_id = 'u00007'",
    ],
)
def test_a_tampered_version_is_rejected_and_the_live_one_stays(target: SqliteTarget, change: str) -> None:
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    table = next(name for name in stored_tables(target) if name.startswith("recommendations_v2"))
    before = sql(target, f"SELECT * FROM {table}")
    sql(target, change.format(table=table))
    assert sql(target, f"SELECT * FROM {table}") != before
    with pytest.raises(
        PermanentError, match=r"recommendations of version v2 as stored has 50 rows with checksum \w{12}, expected 50 with "
    ):
        target.check("v2")
    with pytest.raises(PermanentError, match="version v2 is rejected"):
        target.switch_to("v2", 3)
    assert target.versions()[-1].state == "live"
    assert publish(target, "v2", "two") == target.versions()[0].content_hash


@pytest.mark.parametrize("loss", ["DELETE FROM {table} WHERE user_id = 'u00007'", "DROP TABLE {table}"])
def test_a_version_that_lost_rows_does_not_pass(target: SqliteTarget, loss: str) -> None:
    target.stage(publication("v1"), tables("one"))
    table = next(name for name in stored_tables(target) if name.startswith("recommendations_v1"))
    sql(target, loss.format(table=table))
    with pytest.raises(PermanentError, match="stage it again"):
        target.check("v1")


def test_tables_of_a_killed_attempt_are_dropped_by_the_next(target: SqliteTarget) -> None:
    publish(target, "v1", "one")
    sql(target, "CREATE TABLE recommendations_v9_0123abcd (user_id TEXT)")
    publish(target, "v2", "two")
    assert not any("v9" in name for name in stored_tables(target))


def test_readers_need_no_right_to_write(target: SqliteTarget) -> None:
    """The log files stay after the last writer, because a reader without write permission for the folder cannot make them."""
    publish(target, "v1", "one")
    left = {path.name for path in target.path.parent.iterdir()}
    assert {"recommendations.db-wal", "recommendations.db-shm"} <= left
    reader = SqliteTarget(target.path)
    assert reader.read_user("u00001") is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connecting.open_read_only(target.path).execute("DELETE FROM publications")


def test_a_file_that_is_no_database_is_named(target: SqliteTarget) -> None:
    target.path.parent.mkdir(parents=True)
    target.path.write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(PermanentError, match=r"recommendations.db: file is not a database; move the file away and publish again"):
        publish(target, "v1", "one")


def test_a_full_disk_is_told_in_a_sentence(target: SqliteTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(target, "v1", "one")
    pages = sql(target, "PRAGMA page_count")[0][0]
    connect = sqlite3.connect

    def small_disk(*arguments: object, **options: object) -> sqlite3.Connection:
        db = connect(*arguments, **options)  # type: ignore[call-overload]
        db.execute(f"PRAGMA max_page_count = {pages}")
        return db

    monkeypatch.setattr(sqlite3, "connect", small_disk)
    with pytest.raises(OSError, match="full") as caught:
        publish(target, "v2", "two")
    assert "free some space" in explain_os_error(caught.value)
    monkeypatch.undo()
    assert target.read_user("u00001") is not None
    assert [p.version for p in target.versions()] == ["v1"]


def test_a_file_that_another_program_holds_is_told_in_a_sentence(target: SqliteTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(target, "v1", "one")
    monkeypatch.setattr(connecting, "BUSY_SECONDS", 0.1)
    holder = sqlite3.connect(target.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match="another program has held the file"):
        publish(target, "v2", "two")
    holder.close()
    publish(target, "v2", "two")


def test_who_finds_another_writer_at_its_end_has_switched_all_the_same(target: SqliteTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other writer empties the log then; the version is live."""
    publish(target, "v1", "r1", keep=2)
    publish(target, "v2", "r2", keep=2)
    monkeypatch.setattr(sqlite, "LOG_SECONDS", 0.05)
    other = sqlite3.connect(target.path, isolation_level=None)
    prune = sqlite._prune

    def prune_beside_another(db: sqlite3.Connection, keep: int) -> None:
        prune(db, keep)
        other.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(sqlite, "_prune", prune_beside_another)
    target.switch_to("v1", keep=2)
    other.execute("ROLLBACK")
    other.close()
    assert [version.version for version in target.versions() if version.state == "live"] == ["v1"]


def test_a_place_that_cannot_be_opened_is_told_in_a_sentence(target: SqliteTarget) -> None:
    target.path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught:
        publish(target, "v1", "one")
    assert "Is a directory" in explain_os_error(caught.value)


def test_two_publishers_of_one_run_leave_one_version(target: SqliteTarget) -> None:
    hashes: list[str] = []
    threads = [threading.Thread(target=lambda: hashes.append(publish(SqliteTarget(target.path), "v1", "one"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 3
    assert len(set(hashes)) == 1
    assert [p.state for p in target.versions()] == ["live"]
    assert len(stored_tables(target)) == len(PUBLISHED)

"""Promises of PostgreSQL beyond every target's: the readers' role, readers beside writers, killed publishers, lost servers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.targets import postgres
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import BESIDE_LISTS
from tests.support import ROOT
from tests.support.database import READER, as_role, sql
from tests.support.published_rows import SINCE, earlier_definition, publication, publish, publish_beside_readers, tables

KILLED = -9
END_ALL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
)


@pytest.fixture
def target(postgres_address: str) -> Iterator[PostgresTarget]:
    found = PostgresTarget(postgres_address, READER)
    yield found
    found.close()


def stored(address: str) -> list[str]:
    names = sql(address, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hybridrec_%' ORDER BY 1")
    return [str(name).rsplit("_", 1)[0].removeprefix("hybridrec_") for (name,) in names]


def test_the_hash_is_that_of_the_embedded_target(target: PostgresTarget, tmp_path: Path) -> None:
    embedded = SqliteTarget(tmp_path / "recommendations.db")
    assert publish(target, "v1", "one") == embedded.stage(publication("v1"), tables("one")).content_hash


def test_columns_have_types_and_keys(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    query = "SELECT column_name, data_type, udt_name FROM information_schema.columns WHERE table_name = 'recommendations'"
    types = {str(name): (kind, of) for name, kind, of in sql(postgres_address, f"{query} AND table_schema = 'hybridrec'")}
    assert types["user_id"] == ("text", "text")
    assert types["item_ids"] == ("ARRAY", "_text")
    assert types["scores"] == ("ARRAY", "_float4")
    assert types["valid_until"] == ("timestamp with time zone", "timestamptz")


@pytest.mark.parametrize("view", ["recommendations", "recommendations_unnested"])
def test_a_user_is_found_by_the_key_and_not_by_a_scan(target: PostgresTarget, postgres_address: str, view: str) -> None:
    target.stage(publication("v1"), tables("one", n_users=5_000, batch_rows=2_000))
    target.switch_to("v1", 3)
    plan = sql(postgres_address, f"EXPLAIN SELECT * FROM hybridrec.{view} WHERE user_id = 'u00001'")
    assert "Index Scan using recommendations_pkey" in " ".join(str(line) for (line,) in plan)


def test_the_unnested_view_has_a_row_per_place(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    query = "SELECT rank, item_id, score, source, version FROM hybridrec.recommendations_unnested WHERE user_id = 'u00001' ORDER BY rank"
    places = [(place + 1, f"i{place + 1:03d}", pytest.approx(0.9 - 0.1 * place, abs=1e-5), "als+content", "v1") for place in range(5)]
    assert sql(postgres_address, query) == places


def test_readers_see_only_whole_versions(target: PostgresTarget, postgres_address: str) -> None:
    publish_beside_readers(target, lambda: PostgresTarget(as_role(postgres_address, READER), READER), n_versions=10)


def test_a_switch_holds_its_locks_for_two_messages(target: PostgresTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers wait from the moment in which the first view is replaced; how long that is, the benchmark says."""
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    sent: list[str] = []
    really = psycopg.Connection.execute

    def noted(db: psycopg.Connection[object], query: str, *arguments: object, **options: object) -> object:
        sent.append(query)
        return really(db, query, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.Connection, "execute", noted)
    target.switch_to("v2", 3)
    first = next(number for number, query in enumerate(sent) if "REPLACE VIEW" in query)
    assert sent[first].count("CREATE OR REPLACE VIEW") == len(postgres.VIEWS)
    assert sent[first + 1].startswith("GRANT SELECT")
    assert sent[first + 2].startswith("SELECT storage, state")  # what may be pruned: the switch is over


def test_a_switch_waits_for_a_reader_and_no_reader_waits_for_long(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    with psycopg.connect(as_role(postgres_address, READER)) as slow:  # a transaction that stays open
        slow.execute("SELECT * FROM hybridrec.items").fetchall()
        switch = threading.Thread(target=target.switch_to, args=("v2", 3))
        switch.start()
        time.sleep(0.5)
        other = PostgresTarget(as_role(postgres_address, READER), READER)
        answer = other.read_user("u00001")
        other.close()
        assert answer is not None
        assert answer.version == "v1"
    switch.join(timeout=30)
    assert [p.state for p in target.versions()] == ["live", "kept"]


@pytest.mark.parametrize("deadly", [1, 3, 5, 6])
def test_a_killed_publisher_leaves_only_what_the_next_one_drops(target: PostgresTarget, postgres_address: str, deadly: int) -> None:
    publish(target, "v1", "one")
    child = [sys.executable, "-m", "tests.support.publish_to_postgres_and_die", postgres_address, str(deadly)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(child, cwd=ROOT, env=environment, timeout=60, check=False).returncode == KILLED
    answer = target.read_user("u00001")
    assert answer is not None
    assert answer.version == "v1"
    assert stored(postgres_address) == ["v1", "v2"]
    publish(target, "v3", "three")
    assert stored(postgres_address) == ["v1", "v3"]


def test_dropped_versions_leave_no_tables(target: PostgresTarget, postgres_address: str) -> None:
    for number in range(4):
        publish(target, f"v{number}", f"mark{number}", keep=2)
    assert stored(postgres_address) == ["v2", "v3"]


def test_a_tampered_version_is_rejected_and_the_live_one_stays(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    [(storage,)] = sql(postgres_address, "SELECT storage FROM hybridrec.publications WHERE version = 'v2'")
    sql(postgres_address, f"UPDATE {storage}.recommendations SET strategy = 'other' WHERE user_id = 'u00007'")
    with pytest.raises(PermanentError, match=r"recommendations of version v2 as stored has 50 rows with checksum .* expected 50"):
        target.check("v2")
    with pytest.raises(PermanentError, match="is rejected"):
        target.switch_to("v2", 3)
    assert [p.state for p in target.versions()] == ["rejected", "live"]


def test_a_reader_goes_on_when_the_server_has_ended_its_connection(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    assert target.read_user("u00001") is not None
    sql(postgres_address, END_ALL_OTHERS)
    assert target.read_user("u00001") is not None


def test_a_connection_lost_while_staging_may_be_retried(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")

    cut: list[bool] = []

    def cut_off(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            if not cut:  # once: batches are read ahead, and a second cut could strike the retry
                cut.append(True)
                sql(postgres_address, END_ALL_OTHERS)

    with pytest.raises(OSError, match=r"127.0.0.1:\d+/test_"):
        target.stage(publication("v2"), {name: cut_off(batches) for name, batches in tables("two").items()})
    assert [p.version for p in target.versions()] == ["v1"]
    publish(target, "v2", "two")
    assert stored(postgres_address) == ["v1", "v2"]


def test_a_view_that_others_have_built_on_ours_stays(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    sql(postgres_address, "CREATE VIEW public.theirs AS SELECT DISTINCT version FROM hybridrec.recommendations")
    publish(target, "v2", "two")
    assert sql(postgres_address, "SELECT * FROM public.theirs") == [("v2",)]


def test_a_view_with_other_columns_is_made_anew(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "one")
    sql(postgres_address, "DROP VIEW hybridrec.items; CREATE VIEW hybridrec.items AS SELECT 1 AS of_an_older_release")
    publish(target, "v2", "two")
    assert sql(as_role(postgres_address, READER), "SELECT DISTINCT version FROM hybridrec.items") == [("v2",)]


def test_a_version_of_an_earlier_release_can_be_gone_back_to(target: PostgresTarget, postgres_address: str) -> None:
    """It has no tables besides the lists, and no checksums of them."""
    publish(target, "v1", "one")
    [(storage,)] = sql(postgres_address, "SELECT storage FROM hybridrec.publications")
    for name in BESIDE_LISTS:
        sql(postgres_address, f'DROP VIEW hybridrec.{name}; DROP TABLE "{storage}".{name}')
        sql(postgres_address, f"UPDATE hybridrec.publications SET checksums = checksums - '{name}', counts = counts - '{name}'")
    publish(target, "v2", "two")
    target.check("v1")
    target.switch_to("v1", 3)
    reader = PostgresTarget(as_role(postgres_address, READER), READER)
    answer = reader.read_user("u00001")
    assert answer is not None
    assert answer.version == "v1"
    assert reader.read_trending(3) is None
    assert reader.read_lists("buy_again", ["u00000"]) == []
    target.switch_to("v2", 3)
    assert reader.read_lists("buy_again", ["u00000"])[0].origin[1] == "v2"
    reader.close()


def test_a_version_with_fewer_columns_can_be_gone_back_to(target: PostgresTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        for module in ("postgresql.version_tables", "postgresql.rows", "targets.postgres"):
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


def test_several_items_are_found_by_the_key_and_not_by_a_scan(target: PostgresTarget, postgres_address: str) -> None:
    target.stage(publication("v1"), tables("one", n_users=5_000, batch_rows=2_000))
    target.switch_to("v1", 3)
    plan = sql(postgres_address, "EXPLAIN SELECT * FROM hybridrec.buy_again WHERE user_id = ANY (ARRAY['u00002', 'u00004'])")
    assert "using buy_again_pkey" in " ".join(str(line) for (line,) in plan).replace("on buy_again_pkey", "using buy_again_pkey")


def test_a_server_that_is_not_there_is_named_without_the_secret() -> None:
    away = PostgresTarget("postgresql://publisher:planted_secret@127.0.0.1:1/recommendations", READER)
    for use in (lambda: away.read_user("u1"), lambda: list(away.read_live("items")), lambda: away.stage(publication("v1"), tables("one"))):
        with pytest.raises(ConnectionError, match=r"127.0.0.1:1/recommendations: .*is the server up") as raised:
            use()
        assert "planted_secret" not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize("address", ["", "postgresql://publisher:planted_secret@host:5432", "postgresql://u:planted_secret@h/d?odd=1"])
def test_an_address_that_is_none_is_refused_without_the_secret(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HYBRIDREC_POSTGRES", address)
    with pytest.raises(PermanentError, match="HYBRIDREC_POSTGRES is no address") as raised:
        postgres.connect(Settings.from_env())
    assert "planted_secret" not in str(raised.value)

"""Rights in the database: the readers' role reads only the published tables, the publisher is no superuser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.versions.publications import PUBLISHED
from tests.support import ROOT
from tests.support.database import PUBLISHER, READER, administer, as_role, sql
from tests.support.published_rows import publication, publish, tables

PAGE = ROOT / "docs/reading-the-tables.md"
READABLE = {*PUBLISHED, "recommendations_unnested", "publications", "experiment_state"}
READS = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND has_table_privilege(oid, 'SELECT')"
OURS = "relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"

REFUSED = (
    "SELECT * FROM {storage}.recommendations",
    "UPDATE hybridrec.publications SET state = 'live'",
    "DELETE FROM hybridrec.recommendations",
    "DROP VIEW hybridrec.items",
    "CREATE TABLE hybridrec.mine (a integer)",
    "CREATE TABLE public.mine (a integer)",
    "CREATE TEMPORARY TABLE mine (a integer)",
    "CREATE SCHEMA mine",
)


@pytest.fixture
def target(postgres_address: str) -> Iterator[PostgresTarget]:
    found = PostgresTarget(postgres_address, READER)
    yield found
    found.close()


def storage_of(address: str) -> object:
    [(storage,)] = sql(address, "SELECT storage FROM hybridrec.publications")
    return storage


def database_of(address: str) -> str:
    return address.rsplit("/", 1)[1]


def test_the_statements_of_the_docs_make_roles_that_do(postgres_server: str) -> None:
    [statements] = re.findall(r"```sql\n(CREATE ROLE.*?)```", PAGE.read_text(), re.S)
    own = {"publisher": "documented_publisher", "hybridrec_reader": "documented_reader", "recommendations": "documented"}
    statements = re.sub(r"\b(publisher|hybridrec_reader|recommendations)\b", lambda found: own[found[1]], statements)
    address = f"{postgres_server}/documented".replace(f"{PUBLISHER}@", "documented_publisher@")
    try:
        administer(postgres_server, *filter(str.strip, statements.split(";")))
        published = PostgresTarget(address, "documented_reader")
        publish(published, "v1", "v1")
        service = PostgresTarget(as_role(address, "documented_reader"), "documented_reader")
        assert service.read_user("u00001") == published.read_user("u00001")
        for part in (service, published):
            part.close()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            sql(as_role(f"{postgres_server}/postgres", "documented_reader"), "SELECT 1")
    finally:
        administer(postgres_server, "DROP DATABASE documented WITH (FORCE)", "GRANT CONNECT ON DATABASE postgres TO PUBLIC")
        administer(postgres_server, *(f"DROP ROLE {role}" for role in ("documented_publisher", "documented_reader")))


def test_the_reader_reads_what_is_published_and_nothing_else(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "v1")
    publish(target, "v2", "v2")
    service = PostgresTarget(as_role(postgres_address, READER), READER)
    answer = service.read_user("u00001")
    assert answer is not None
    assert answer.version == "v2"
    assert [p.version for p in service.versions()] == ["v2", "v1"]
    assert sum(batch.num_rows for batch in service.read_live("recommendations")) == 50
    with pytest.raises(PermanentError, match=f"{READER} may not make schemas"):
        service.stage(publication("v3"), tables("three"))
    service.close()
    assert {name for (name,) in sql(as_role(postgres_address, READER), f"{READS} AND {OURS}")} == READABLE
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hybridrec%' AND has_schema_privilege(oid, 'USAGE')"
    assert sql(as_role(postgres_address, READER), schemas) == [("hybridrec",)]


def test_the_reader_is_refused_what_is_not_published(target: PostgresTarget, postgres_address: str) -> None:
    publish(target, "v1", "v1")
    with psycopg.connect(as_role(postgres_address, READER), autocommit=True) as db:
        for statement in REFUSED:
            with pytest.raises(psycopg.Error, match=r"permission denied|must be owner|cannot delete from view"):
                db.execute(statement.format(storage=storage_of(postgres_address)))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"ALTER ROLE {READER} SUPERUSER", "is a superuser"),
        (f"ALTER ROLE {READER} CREATEROLE", "may make roles"),
        (f"GRANT {PUBLISHER} TO {READER}", "is a member of publisher"),
        (f"GRANT pg_read_all_data TO {READER}", "is a member of pg_read_all_data"),
        ("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "may make schemas or temporary tables in the database"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "may make tables in the schema public"),
        ("CREATE TABLE public.other AS SELECT 1 AS a; GRANT SELECT (a) ON public.other TO PUBLIC", "may use public.other"),
        (f"GRANT UPDATE ON hybridrec.publications TO {READER}", "may use hybridrec.publications"),
        ("GRANT USAGE ON SCHEMA {storage} TO PUBLIC; GRANT SELECT ON {storage}.items TO PUBLIC", "may use hybridrec_v1_.*items"),
    ],
)
def test_a_reader_with_more_rights_is_refused_with_the_remedy(
    target: PostgresTarget, postgres_address: str, statement: str, said: str
) -> None:
    publish(target, "v1", "v1")
    administer(postgres_address, statement.format(database=database_of(postgres_address), storage=storage_of(postgres_address)))
    with pytest.raises(PermanentError, match=f"{READER} .*{said}") as refused:
        target.stage(publication("v2"), tables("two"))
    assert [p.version for p in target.versions()] == ["v1"]
    administer(postgres_address, *str(refused.value).split("nothing else: ")[1].split("; "))
    publish(target, "v2", "v2")


def test_a_view_of_an_extension_is_the_administrators_business(target: PostgresTarget, postgres_address: str) -> None:
    administer(postgres_address, "CREATE VIEW public.theirs AS SELECT 1", "GRANT SELECT ON public.theirs TO PUBLIC")
    administer(postgres_address, "ALTER EXTENSION plpgsql ADD VIEW public.theirs")
    publish(target, "v1", "v1")


def test_a_superuser_does_not_publish(postgres_address: str) -> None:
    with pytest.raises(PermanentError, match=r"administrator is a superuser, and a night needs none"):
        PostgresTarget(as_role(postgres_address, "administrator"), READER).stage(publication("v1"), tables("one"))


def test_a_schema_of_another_role_is_said_so(postgres_address: str) -> None:
    administer(postgres_address, "CREATE SCHEMA hybridrec")
    with pytest.raises(PermanentError, match=r"the schema hybridrec of test_\w+ belongs to administrator"):
        PostgresTarget(postgres_address, READER).stage(publication("v1"), tables("one"))


def test_a_reader_who_cannot_connect_is_said_so(postgres_address: str) -> None:
    administer(postgres_address, f"REVOKE CONNECT ON DATABASE {database_of(postgres_address)} FROM {READER}")
    with pytest.raises(PermanentError, match=f"allows it: GRANT CONNECT ON DATABASE .* TO {READER}"):
        PostgresTarget(postgres_address, READER).stage(publication("v1"), tables("one"))


def test_a_missing_role_is_said_so(postgres_address: str) -> None:
    with pytest.raises(PermanentError, match="there is no role 'nobody_here'"):
        PostgresTarget(postgres_address, "nobody_here").stage(publication("v1"), tables("one"))

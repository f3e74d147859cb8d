"""Check the rights of the two roles: the publisher writes its own schemas and is no superuser, the reader reads only the views.

docs/reading-the-tables.md has the statements that make such roles. Rights of PUBLIC count: every role has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybridrec.base.errors import PermanentError

if TYPE_CHECKING:
    from psycopg import Connection

OLDEST = 14  # version of PostgreSQL that knows what is used here
SHOWN = 3  # rights that a message names
PUBLISHER = """
SELECT rolname, rolsuper, has_database_privilege(current_database(), 'CREATE'), current_database(),
       (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'hybridrec' AND NOT pg_has_role(nspowner, 'USAGE'))
FROM pg_roles WHERE rolname = current_user
"""
READER = "SELECT has_database_privilege(rolname, current_database(), 'CONNECT') FROM pg_roles WHERE rolname = %s"
# A right too many a row, and the statement that takes it away.
TOO_MANY = """
WITH reader AS (SELECT * FROM pg_roles WHERE rolname = %(reader)s)
SELECT 'is a superuser', format('ALTER ROLE %%I NOSUPERUSER', rolname) FROM reader WHERE rolsuper
UNION ALL
SELECT 'may make roles or databases, or copy the server', format('ALTER ROLE %%I NOCREATEROLE NOCREATEDB NOREPLICATION', rolname)
FROM reader WHERE NOT rolsuper AND (rolcreaterole OR rolcreatedb OR rolreplication)
UNION ALL
SELECT format('is a member of %%I', m.rolname), format('REVOKE %%I FROM %%I', m.rolname, reader.rolname)
FROM reader JOIN pg_roles AS m ON pg_has_role(reader.oid, m.oid, 'MEMBER') AND m.oid <> reader.oid
WHERE NOT reader.rolsuper AND (m.rolname = current_user OR m.rolname LIKE 'pg\\_%%' OR m.rolsuper)
UNION ALL
SELECT format('may make schemas or temporary tables in the database %%I', datname),
       format('REVOKE CREATE, TEMPORARY ON DATABASE %%I FROM PUBLIC, %%I', datname, reader.rolname)
FROM reader, pg_database WHERE datname = current_database() AND NOT rolsuper
AND has_database_privilege(reader.oid, datname, 'CREATE, TEMPORARY')
UNION ALL
SELECT format('may make tables in the schema %%I', nspname), format('REVOKE CREATE ON SCHEMA %%I FROM PUBLIC, %%I', nspname, reader.rolname)
FROM reader, pg_namespace AS n WHERE NOT rolsuper AND has_schema_privilege(reader.oid, n.oid, 'CREATE')
UNION ALL
SELECT format('may use %%I.%%I', nspname, relname), format('REVOKE ALL ON %%I.%%I FROM PUBLIC, %%I', nspname, relname, reader.rolname)
FROM reader, pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE NOT rolsuper AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
AND relkind IN ('r', 'v', 'm', 'f', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')
AND has_schema_privilege(reader.oid, n.oid, 'USAGE')
AND (has_any_column_privilege(reader.oid, c.oid, 'INSERT, UPDATE, REFERENCES')
     OR has_table_privilege(reader.oid, c.oid, 'DELETE, TRUNCATE, TRIGGER')
     OR has_any_column_privilege(reader.oid, c.oid, 'SELECT') AND NOT (nspname = 'hybridrec' AND relname = ANY (%(readable)s)))
"""


def require_publisher(db: Connection[tuple[Any, ...]], reader: str) -> None:
    """Raise PermanentError if the roles are not made as they should be, with what an administrator is to do."""
    if db.info.server_version < OLDEST * 10_000:
        raise PermanentError(f"PostgreSQL {OLDEST} or a later one is needed; {db.info.host} has {db.info.server_version // 10_000}")
    [(role, superuser, creates, database, other)] = db.execute(PUBLISHER)
    if superuser:
        raise PermanentError(
            f"{role} is a superuser, and a night needs none; publish as the owner of {database}: CREATE ROLE publisher LOGIN"
        )
    if not creates:
        raise PermanentError(
            f"{role} may not make schemas in {database}; an administrator allows it: GRANT CREATE ON DATABASE {database} TO {role}"
        )
    if other:
        raise PermanentError(f"the schema hybridrec of {database} belongs to {other}; publish as that role, not as {role}")
    role_row = db.execute(READER, (reader,)).fetchone()
    if role_row is None:
        raise PermanentError(f"there is no role {reader!r} for readers; an administrator makes it with CREATE ROLE")
    if not role_row[0]:
        raise PermanentError(
            f"{reader} cannot reach {database}; an administrator allows it: GRANT CONNECT ON DATABASE {database} TO {reader}"
        )


def require_narrow_reader(db: Connection[tuple[Any, ...]], reader: str, readable: Sequence[str]) -> None:
    """Raise PermanentError if the readers' role may do more in this database than read `readable`, relations of the schema hybridrec."""
    excess = db.execute(TOO_MANY, {"reader": reader, "readable": list(readable)}).fetchall()
    if excess:
        rights, remedies = (list(part[:SHOWN]) for part in zip(*excess, strict=True))
        more = f" and {len(excess) - SHOWN} more" if len(excess) > SHOWN else ""
        raise PermanentError(f"{reader} {', '.join(rights)}{more}; it is to read what is published and nothing else: {'; '.join(remedies)}")

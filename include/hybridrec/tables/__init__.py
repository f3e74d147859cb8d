"""Define tables: one file per table in this folder, each with one `TABLE`.

Names are `<layer>_<noun>`: raw (as it came), core (cleaned), model (inside a run), out (what a person or a
service reads). Definitions are data: the Arrow and Spark schemas, the Great Expectations suite, the publish
target's DDL and the documentation page are derived from them. Nothing heavy is imported here, since DAGs read
these files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ID = 512  # characters of an id, from ingest to look-up: addresses fit, and an index row of PostgreSQL holds 2,704 bytes
ARROW_TYPES = {
    "string": "string",
    "bool": "bool",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "float32": "float",
    "float64": "double",
    "date": "date32",
    "timestamp": "timestamp",
}
SPARK_TYPES = {
    "string": "string",
    "bool": "boolean",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "float32": "float",
    "float64": "double",
    "date": "date",
    "timestamp": "timestamp",
}


@dataclass(frozen=True)
class Column:
    """One column.

    type: a name from ARROW_TYPES or "list<name>"; time stamps are microseconds, UTC.
    one_of, minimum, maximum: what a delivered value may be. Outside of it the row goes to quarantine if the column is
    decisive; otherwise the value counts as missing, and is counted.
    default: what a missing value becomes, for columns that may not be null and need not be given.
    if_bad: what a value becomes that breaks a rule, where that is not the default.
    if_below: what a value below the minimum becomes, where that is not the default.
    made: ingest makes it, whatever a source delivers under that name.
    strict: a wrong value costs the row although the column need not be given.
    """

    name: str
    type: str
    doc: str
    nullable: bool = False
    one_of: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default: bool | str | tuple[str, ...] | None = None
    if_bad: bool | None = None
    if_below: float | None = None
    made: bool = False
    strict: bool = False

    @property
    def required(self) -> bool:
        """Whether a source must give a value."""
        return not self.nullable and self.default is None and not self.made

    @property
    def decisive(self) -> bool:
        """Whether a wrong value costs the row."""
        return self.required or self.strict


@dataclass(frozen=True)
class Table:
    """One table.

    key: columns that together identify a row.
    partition_by: leading folders, as `event_date=2026-01-31`.
    open_prefixes: further float columns are allowed when their name starts so ("score_", "rank_").
    min_rows: fewer rows than this are an error.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    open_prefixes: tuple[str, ...] = ()
    min_rows: int = 0

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the fixed columns, in order."""
        return tuple(column.name for column in self.columns)

    def arrow_schema(self) -> pa.Schema:
        """Return the fixed columns as an Arrow schema."""
        import pyarrow as pa

        return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in self.columns])

    def spark_ddl(self) -> str:
        """Return the fixed columns as a Spark schema string."""
        return ", ".join(f"`{column.name}` {spark_type(column.type)}" for column in self.columns)

    def conform(self, table: pa.Table) -> pa.Table:
        """Return the same rows with columns ordered and cast as declared; PermanentError names what is missing or unknown."""
        missing = [name for name in self.column_names if name not in table.column_names]
        extra = [name for name in table.column_names if name not in self.column_names]
        unknown = [name for name in extra if not name.startswith(self.open_prefixes or ("\0",))]
        if missing or unknown:
            raise PermanentError(f"{self.name}: columns missing {missing}, unknown {unknown}; expected {self.column_names}")
        fixed = table.select(list(self.column_names)).cast(self.arrow_schema())
        for name in extra:
            fixed = fixed.append_column(table.schema.field(name), table.column(name))
        return fixed


def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a column type's name."""
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(arrow_type(name[5:-1]))
    if name == "timestamp":
        return pa.timestamp("us", tz="UTC")
    return pa.type_for_alias(ARROW_TYPES[name])


def spark_type(name: str) -> str:
    """Return the Spark type of a column type's name."""
    return f"array<{spark_type(name[5:-1])}>" if name.startswith("list<") else SPARK_TYPES[name]


STANDINGS = ("listed", "named", "left", "removed")
GONE = ("left", "removed")  # of a user: no lists, and no part in anybody else's


def standing_of(what: str, gone: str, strict: bool) -> Column:
    """Return the column that says how a row of a full delivery got here; what: "item" or "user", gone: what follows when it has left."""
    removed = "its events are deleted as well." if strict else "as left."
    text = (
        f"listed: the newest full delivery has the {what}. named: only events do. left: the newest lacks it, an earlier one had it: "
        f"{gone} removed: the delivery itself said so here: {removed}"
    )
    return Column("standing", "string", text, one_of=STANDINGS, default="listed", strict=strict)


def quarantine_of(name: str) -> Table:
    """Return the table of the rows that ingest refused for the core table of that name; replaced by every ingest."""
    return Table(
        name=f"quarantine_{name}",
        doc=f"Rows of the last ingest that are not in {name}, each with a reason.",
        columns=(
            Column("reason", "string", "Why the row was refused."),
            Column("row", "string", "The row, JSON; as it came, where a value of its own was wrong."),
            Column("source_file", "string", "Raw file that it came in."),
        ),
        key=(),  # the same bad row may come twice
    )


def table(name: str) -> Table:
    """Return the definition of the table of that name."""
    definition: Table = extensions.module("tables", name).TABLE
    return definition

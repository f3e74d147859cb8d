"""Events that name an item which the catalogue does not know yet."""

from dataclasses import replace

from hybridrec.tables import Column, Table
from hybridrec.tables.core_events import TABLE as CORE_EVENTS

TABLE = Table(
    name="waiting_core_events",
    doc="Events of items that the catalogue does not know; judged again with every ingest, for wait_days days.",
    columns=(
        *(replace(column, default=None) for column in CORE_EVENTS.columns),
        Column("waiting_since", "timestamp", "When the delivery landed that first held it, UTC."),
        Column("source_file", "string", "Raw file that it came in."),
    ),
    key=("event_id",),
)

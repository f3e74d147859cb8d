"""Positive events by type and day."""

from hybridrec.base.config import POSITIVE_TYPES
from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_visits",
    doc="Positive events before the split's cut by type, one row a day; the table exists only if events of several types count.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("event_type", "string", "What happened.", one_of=POSITIVE_TYPES),
        Column("event_at", "timestamp", "The first such event of the pair on the day."),
    ),
    key=("user_idx", "item_idx", "event_type", "event_at"),
)

"""Events whose recommendation is not known yet."""

from hybridrec.base.config import EVENT_TYPES
from hybridrec.tables import Column, Table

TABLE = Table(
    name="waiting_feedback",
    doc="Events from the look-up whose recommendation has not landed yet; judged again with every ingest, for wait_days days.",
    columns=(
        Column("event_id", "string", "Identifies the event, as its sender calls it."),
        Column("recommendation_id", "string", "The recommendation that led here."),
        Column("event_type", "string", "Type of the event.", one_of=EVENT_TYPES),
        Column("item_id", "string", "Item."),
        Column("event_at", "timestamp", "When it happened, UTC, by the sender's clock."),
        Column("position", "int32", "Position at which it was shown, as its sender says.", nullable=True, minimum=1),
        Column("user_id", "string", "User, as its sender says.", nullable=True),
        Column("received_at", "timestamp", "When the look-up took it, UTC."),
        Column("source_file", "string", "File of the log that it came in."),
        Column("waiting_since", "timestamp", "When the delivery landed that first held it, UTC."),
    ),
    key=("event_id",),
)

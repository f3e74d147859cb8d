"""Events after cleaning: what a user did with an item, and when."""

from hybridrec.base.config import EVENT_TYPES
from hybridrec.tables import Column, Table

TABLE = Table(
    name="core_events",
    doc="One row per event, cleaned; a day is a partition.",
    columns=(
        Column(
            "event_id",
            "string",
            "Identifies the event; made from the row's content when the source has none, and with it where it names several events.",
            default="",
        ),
        Column("user_id", "string", "Who."),
        Column("item_id", "string", "What."),
        Column("event_type", "string", "What happened.", one_of=EVENT_TYPES),
        Column("event_at", "timestamp", "When it happened, UTC."),
        Column("session_id", "string", "Visit that the event belongs to.", nullable=True),
        Column("order_id", "string", "Order that a purchase belongs to.", nullable=True),
        Column("quantity", "float32", "Pieces bought; a purchase of 0 or less is refused.", nullable=True),
        Column("device", "string", "Kind of device.", nullable=True),
        Column("page", "string", "Page or slot where it happened.", nullable=True),
        Column("position", "int32", "Position in the list that was shown, 1 is the top.", nullable=True, minimum=1),
        Column(
            "rating",
            "float32",
            "Stars given, for ratings; below 0, a thumb down, is 0; only -1 below a longer scale means not rated, null.",
            nullable=True,
            minimum=0,
            maximum=10,
            if_below=0,
        ),
        Column("dwell_seconds", "float32", "Time spent on the item.", nullable=True, minimum=0),
        Column("recommendation_id", "string", "The recommendation that led here.", nullable=True),
        Column("experiment_id", "string", "Experiment and variant that the user was in.", nullable=True),
        Column("event_date", "date", "Day of event_at, UTC.", made=True),
    ),
    key=("event_id",),
    partition_by=("event_date",),
    min_rows=1,
)

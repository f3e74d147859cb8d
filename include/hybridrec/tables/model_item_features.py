"""Item features as of a split's cut."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_item_features",
    doc="One row per item that had an event before the split's cut; others have no row.",
    columns=(
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("item_n_users", "int32", "Users who turned to it.", minimum=1),
        Column("item_n_events", "int32", "Positive events.", minimum=1),
        Column("item_n_events_30d", "int32", "Positive events in the 30 days before the cut.", minimum=0),
        Column("item_n_events_7d", "int32", "Positive events in the 7 days before the cut.", minimum=0),
        Column("item_n_events_90d", "int32", "Positive events in the 90 days before the cut.", minimum=0),
        Column(
            "item_n_events_window",
            "int32",
            "Positive events in the run's window, see [the decision](decisions/0078-what-time-and-types-tell.md); null without a calendar.",
            nullable=True,
            minimum=0,
        ),
        Column(
            "item_trend",
            "float32",
            "Logarithm of how many times more events the window has than the mean of the three before it; null without a calendar.",
            nullable=True,
        ),
        Column("item_age_days", "float32", "Days from the item's first event to the cut.", minimum=0),
        Column("item_recency_days", "float32", "Days from the item's newest event to the cut.", minimum=0),
        Column(
            "item_weekend_share", "float32", "Share of the events on Saturday or Sunday; null without a calendar.", nullable=True, minimum=0
        ),
        Column(
            "item_evening_share",
            "float32",
            "Share of the events from 18 to 6 o'clock UTC; null without a calendar.",
            nullable=True,
            minimum=0,
        ),
        Column(
            "item_mobile_share",
            "float32",
            "Share of the events with a device that are on a hand-held one; null without any.",
            nullable=True,
            minimum=0,
        ),
    ),
    key=("item_idx",),
)

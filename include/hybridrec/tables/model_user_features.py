"""User features as of a split's cut."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_user_features",
    doc="One row per user who has history before the split's cut; others have no row.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("user_n_items", "int32", "Items in the history.", minimum=1),
        Column("user_n_events", "int32", "Events in the history.", minimum=1),
        Column("user_recency_days", "float32", "Days from the newest event to the cut.", minimum=0),
        Column("user_span_days", "float32", "Days from the oldest to the newest event.", minimum=0),
        Column("user_mean_log_popularity", "float32", "Mean log(1 + users) of the history's items."),
        Column(
            "user_weekend_share", "float32", "Share of the events on Saturday or Sunday; null without a calendar.", nullable=True, minimum=0
        ),
        Column(
            "user_evening_share",
            "float32",
            "Share of the events from 18 to 6 o'clock UTC; null without a calendar.",
            nullable=True,
            minimum=0,
        ),
        Column(
            "user_mobile_share",
            "float32",
            "Share of the events with a device that are on a hand-held one; null without any.",
            nullable=True,
            minimum=0,
        ),
    ),
    key=("user_idx",),
)

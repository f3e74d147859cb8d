"""Items on the rise."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_trending",
    doc="Available items with more events lately than before, the steepest rise first; empty without a calendar.",
    columns=(
        Column("rank", "int32", "1 is best.", minimum=1),
        Column("item_id", "string", "Identifies the item."),
        Column("score", "float32", "Events of the window over those expected, both smoothed; above 1.", minimum=1),
        Column("n_events", "int32", "Events of the window.", minimum=1),
        Column("n_expected", "float32", "Events that the time before makes expect.", minimum=0),
        Column("window_days", "float32", "Length of the window, as chosen on held-out time.", minimum=0),
    ),
    key=("rank",),
)

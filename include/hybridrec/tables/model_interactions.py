"""The interaction matrix of a split, as triplets."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_interactions",
    doc="Input of a split's base models: all positive events before the split's cut, one row per pair.",
    columns=(
        Column("user_idx", "int32", "Row of the matrix.", minimum=0),
        Column("item_idx", "int32", "Column of the matrix.", minimum=0),
        Column("weight", "float32", "Sum of event weights, each decayed by its age at the cut; above 0."),
        Column("n_events", "int32", "Number of events of the pair.", minimum=1),
        Column("first_event_at", "timestamp", "The pair's oldest event."),
        Column("last_event_at", "timestamp", "The pair's newest event before the cut."),
    ),
    key=("user_idx", "item_idx"),
    min_rows=1,
)

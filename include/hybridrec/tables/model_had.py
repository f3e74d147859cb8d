"""Items that users have had."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_had",
    doc="Pairs that no list may hold, by [night] had_days; the table exists only if the history has others too.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item that the user has had by the split's cut.", minimum=0),
    ),
    key=("user_idx", "item_idx"),
)

"""Users who were shown an item, and who took it."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_item_shown",
    doc="Users who were shown an item before the split's cut, and who took it; the table exists only if there are impressions.",
    columns=(
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("n_shown", "int32", "Users who were shown it.", minimum=1),
        Column("n_taken", "int32", "Users among them with a positive event after an impression.", minimum=0),
    ),
    key=("item_idx",),
)

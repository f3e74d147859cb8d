"""Items that users were shown."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_shown",
    doc="Pairs with impressions before the split's cut; the table exists only if there are impressions.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("n_shown", "int32", "Impressions.", minimum=1),
        Column("n_passed", "int32", "Impressions that no positive event of the pair followed before the cut.", minimum=0),
    ),
    key=("user_idx", "item_idx"),
)

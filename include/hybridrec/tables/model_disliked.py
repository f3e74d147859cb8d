"""Items that users had and disliked."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_disliked",
    doc="Pairs with a rating below liked_from before the split's cut and no later positive event; the table exists only if there are any.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item that the user gets no more, and from which nothing is learnt.", minimum=0),
    ),
    key=("user_idx", "item_idx"),
)

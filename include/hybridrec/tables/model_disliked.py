"""What users had and did not like."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_disliked",
    doc="Pairs with a rating below liked_from before the split's cut, and nothing that speaks for the item; only where there are any.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item that the user gets no more, and from which nothing is learnt.", minimum=0),
    ),
    key=("user_idx", "item_idx"),
)

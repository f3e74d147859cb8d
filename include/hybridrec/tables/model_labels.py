"""Events of users in a split's label window."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_labels",
    doc="Positive pairs in the label window of the ranker or holdout split that the user has not had by the cut.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item that the user turned to.", minimum=0),
        Column("gain", "float32", "Graded relevance: the largest event weight of the pair; above 0."),
        Column(
            "position", "int32", "Topmost position in a list at which the user found it, where that is known.", nullable=True, minimum=1
        ),
    ),
    key=("user_idx", "item_idx"),
    min_rows=1,
)

"""Items that users may buy again."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_buy_again",
    doc="One row per user who has bought something that may come again, with ordered arrays; empty if lists hold no repeats.",
    columns=(
        Column("user_id", "string", "Identifies the user."),
        Column("item_ids", "list<string>", "Available items that the user has bought before, the likeliest first."),
        Column("scores", "list<float32>", "Scores, falling; they compare within one list only."),
    ),
    key=("user_id",),
)

"""The ranked candidates of the full split, before rules."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_ranked",
    doc="The best candidates of every user by the strategy that the user's segment publishes, before rules.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("score", "float32", "Score of the strategy, higher is better."),
        Column("rank", "int32", "Position in the user's list, 1 is best.", minimum=1),
        Column("strategy", "string", "Strategy or retriever that ranked the row."),
        Column("sources", "list<string>", "Retrievers that retrieved the pair, best rank first."),
        Column(
            "top_features",
            "list<string>",
            "Features that moved the score most, largest first; only for the first rows of a list, empty without a ranker.",
        ),
    ),
    key=("user_idx", "item_idx"),
    min_rows=1,
)

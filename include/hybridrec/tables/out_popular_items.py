"""Popular items, the last fallback tier."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_popular_items",
    doc="The most popular available items, over all time and lately.",
    columns=(
        Column("window", "string", "recent or all_time.", one_of=("recent", "all_time")),
        Column("rank", "int32", "1 is best.", minimum=1),
        Column("item_id", "string", "Identifies the item."),
        Column("score", "float32", "Popularity, higher is better.", minimum=0),
    ),
    key=("window", "rank"),
    min_rows=1,
)

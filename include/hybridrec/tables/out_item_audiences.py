"""Users who should hear of an item."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_item_audiences",
    doc="One row per available item that somebody may want, with ordered arrays of users: without recent buyers and users who opted out.",
    columns=(
        Column("item_id", "string", "Identifies the item."),
        Column("user_ids", "list<string>", "Users, the likeliest buyer first."),
        Column("scores", "list<float32>", "Scores, falling; they compare within one list only."),
    ),
    key=("item_id",),
)

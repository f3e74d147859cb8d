"""Items that complete a basket."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_bought_together",
    doc="One row per item that is bought with others, with ordered arrays of the available ones; for several items add up the scores.",
    columns=(
        Column("item_id", "string", "Item that is in the basket."),
        Column("item_ids", "list<string>", "Items that orders with it also hold, best first."),
        Column("scores", "list<float32>", "Nearness by orders in common, falling; scores of several items' rows add up."),
    ),
    key=("item_id",),
)

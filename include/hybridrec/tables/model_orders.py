"""Items that were bought together."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_orders",
    doc="Items of each order before as_of; the table exists only if something is bought or put into a cart.",
    columns=(
        Column(
            "order_key",
            "int64",
            "Identifies the order: hash of the user and order_id, else session_id and days since it began, else the day.",
        ),
        Column("user_idx", "int32", "User of the order.", minimum=0),
        Column("item_idx", "int32", "Item in it.", minimum=0),
        Column("bought_at", "timestamp", "Time of the item's oldest event in the order."),
        Column("quantity", "float32", "Pieces of the item; an event without a quantity counts 1."),
    ),
    key=("order_key", "item_idx"),
)

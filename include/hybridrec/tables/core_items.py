"""The catalogue after cleaning."""

from hybridrec.tables import Column, Table, standing_of

TABLE = Table(
    name="core_items",
    doc="One row per item that the catalogue has or ever had.",
    columns=(
        Column("item_id", "string", "Identifies the item."),
        Column("title", "string", "Name that a person reads.", nullable=True),
        Column("description", "string", "Longer text.", nullable=True),
        Column("categories", "list<string>", "Categories, the main one first; empty when unknown.", default=()),
        Column("brand", "string", "Brand, studio or maker.", nullable=True),
        Column("provider", "string", "Seller or supplier.", nullable=True),
        Column("price", "float32", "Price in the catalogue's currency.", nullable=True, minimum=0),
        Column("margin", "float32", "Earnings of a sale, in the catalogue's currency; may be negative.", nullable=True),
        Column("is_available", "bool", "False: must not be recommended.", default=True, if_bad=False),
        Column("is_promoted", "bool", "True: under promotion.", default=False),
        Column("is_consumable", "bool", "True: who has had it may want it again at once.", default=False),
        Column("vector", "list<float32>", "The shop's own embedding of the item, all of one length.", nullable=True),
        Column("released_at", "timestamp", "When the item came into being.", nullable=True),
        standing_of("item", "then is_available is false.", strict=False),
    ),
    key=("item_id",),
    min_rows=1,
)

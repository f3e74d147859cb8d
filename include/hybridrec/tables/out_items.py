"""Names of the items, so that a reader of the published tables needs no second system."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_items",
    doc="One row per item of the run.",
    columns=(
        Column("item_id", "string", "Identifies the item."),
        Column("title", "string", "Name that a person reads.", nullable=True),
        Column("categories", "list<string>", "Categories, the main one first; empty when unknown."),
        Column("is_available", "bool", "False: was not recommended."),
    ),
    key=("item_id",),
    min_rows=1,
)

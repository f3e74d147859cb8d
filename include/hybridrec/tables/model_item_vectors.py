"""The catalogue's own vectors of items."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_item_vectors",
    doc="Items that the catalogue gives a vector; the table exists only if it gives any.",
    columns=(
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("vector", "list<float32>", "The shop's own embedding of the item, all of one length."),
    ),
    key=("item_idx",),
)

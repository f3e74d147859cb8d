"""Similar items, for anonymous sessions and item pages."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_similar_items",
    doc="One row per item that has neighbours, with ordered arrays of the available ones.",
    columns=(
        Column("item_id", "string", "Identifies the item."),
        Column("item_ids", "list<string>", "Neighbours, most similar first."),
        Column("scores", "list<float32>", "Similarities, falling."),
        Column("reason", "string", "Origin of the neighbours.", one_of=("item_knn", "content")),
    ),
    key=("item_id",),
)

"""Dense item numbers of a run, with the catalogue's content."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_items",
    doc="Every item of the catalogue or with an event by as_of, ordered by item_id.",
    columns=(
        Column("item_idx", "int32", "Dense number, 0-based, in the order of item_id.", minimum=0),
        Column("item_id", "string", "Identifies the item."),
        Column("title", "string", "Name that a person reads.", nullable=True),
        Column("description", "string", "Longer text.", nullable=True),
        Column("categories", "list<string>", "Categories, the main one first; empty when unknown."),
        Column("learnt_categories", "list<string>", "Categories that models may use: all, or none if they follow from the events."),
        Column("brand", "string", "Brand, studio or maker.", nullable=True),
        Column("provider", "string", "Seller or supplier.", nullable=True),
        Column("price", "float32", "Price in the catalogue's currency.", nullable=True),
        Column("is_available", "bool", "False: must not be recommended."),
        Column("is_promoted", "bool", "True: under promotion."),
        Column("is_consumable", "bool", "True: who has had it may want it again at once."),
        Column("released_at", "timestamp", "When the item came into being.", nullable=True),
        Column("first_event_at", "timestamp", "Its first event of any type by as_of; no model may see it.", nullable=True),
    ),
    key=("item_idx",),
    min_rows=1,
)

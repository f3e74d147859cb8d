"""Repeated choices by item."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_repeats",
    doc="Repeated choices of each item with events before the split's cut; the table exists only if lists may hold repeats.",
    columns=(
        Column("item_idx", "int32", "Item.", minimum=0),
        Column("item_repeat_share", "float32", "Share of its users with events on more than one day.", minimum=0, maximum=1),
        Column("item_gap_days", "float32", "Mean days between two events of the same user, of those users.", nullable=True, minimum=0),
    ),
    key=("item_idx",),
)

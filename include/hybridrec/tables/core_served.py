"""Lists that the look-up has served."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="core_served",
    doc="One row per list that the look-up has served, complete by itself: its version may be gone. A day is a partition.",
    columns=(
        Column("recommendation_id", "string", "Identifies the answer; drawn at random for each."),
        Column("served_at", "timestamp", "When it was sent, UTC."),
        Column("user_id", "string", "User who was asked for, as the caller says; empty where popular items were asked for as such."),
        Column("surface", "string", "Surface that was asked for; /popular for popular items that were asked for as such."),
        Column("version", "string", "Published version that the answer comes from."),
        Column("experiment", "string", "Experiment that the user took part in.", nullable=True),
        Column("variant", "string", "Variant of it that the list follows.", nullable=True),
        Column("arm", "string", "Arm that was drawn for the user.", nullable=True),
        Column("arm_probability", "float32", "Probability with which it was drawn.", nullable=True),
        Column("item_ids", "list<string>", "Items, best first."),
        Column("slot_probabilities", "list<float32>", "Probability of each position's item; null if none was drawn.", nullable=True),
        Column("altered", "bool", "Whether excluded items have moved others to other positions than the night gave them."),
        Column("k", "int32", "Positions that were asked for.", minimum=1),
        Column("served_date", "date", "Day of served_at, UTC.", made=True),
    ),
    key=("recommendation_id",),
    partition_by=("served_date",),
)

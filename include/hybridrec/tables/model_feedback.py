"""Outcomes of the lists that were served."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_feedback",
    doc=(
        "One row per served list and position, of lists that are older than attribution_days as of the run: what could still come of a"
        " younger one is not known. The table exists only if lists were served."
    ),
    columns=(
        Column("recommendation_id", "string", "Identifies the answer."),
        Column("position", "int32", "Position in the answer, 1 is the top.", minimum=1),
        Column("user_id", "string", "User who was asked for; empty where popular items were asked for as such."),
        Column("item_id", "string", "Item that stood there."),
        Column("served_at", "timestamp", "When it was sent, UTC."),
        Column("version", "string", "Published version that the list comes from: a user has one draw in each."),
        Column("surface", "string", "Surface that was asked for."),
        Column("experiment", "string", "Experiment that the user took part in.", nullable=True),
        Column("variant", "string", "Variant of it that the list follows.", nullable=True),
        Column("arm", "string", "Arm that was drawn for the user.", nullable=True),
        Column("arm_probability", "float32", "Probability of that draw.", nullable=True),
        Column(
            "probability",
            "float64",
            "Probability of the item at this position: that of the arm times that of the position. Null if nothing was drawn, and in an"
            " altered list.",
            nullable=True,
        ),
        Column("shown", "bool", "Whether a person saw it: as the caller says, else at or above the lowest click."),
        Column("shown_by", "string", "Evidence of it; null for a list without any.", nullable=True, one_of=("impression", "click")),
        Column(
            "clicked", "bool", "Whether an event other than an impression followed within attribution_days: a click, a cart, a purchase."
        ),
        Column(
            "reward", "float64", "Weight of the strongest event that followed within attribution_days, as in event_weights; 0 for none."
        ),
    ),
    key=("recommendation_id", "position"),
)

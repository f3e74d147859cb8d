"""The lists that are published."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_recommendations",
    doc="One row per user with ordered arrays; position 0 is the best.",
    columns=(
        Column("user_id", "string", "Identifies the user."),
        Column("item_ids", "list<string>", "Items, best first."),
        Column("scores", "list<float32>", "Scores, falling."),
        Column("reasons", "list<string>", "Why each item is there, a sentence for a person."),
        Column("sources", "list<string>", "Retrievers that retrieved each item, joined by '+'; the fallback's name for filled positions."),
        Column(
            "reason",
            "string",
            "Origin of the row: ranked, filled (some items from the fallback) or fallback.",
            one_of=("ranked", "filled", "fallback"),
        ),
        Column("strategy", "string", "Strategy that ranked the row."),
        Column("segment", "string", "History segment of the user.", one_of=("none", "light", "heavy")),
        Column("shortfall", "string", "Why there are fewer than k items, null when there are k.", nullable=True),
        Column("experiment", "string", "Experiment that the user takes part in, null for none.", nullable=True),
        Column("variant", "string", "The user's variant in it.", nullable=True),
        Column("arm", "string", "Arm of the bandit that ranked the row, after the segment it was drawn for: light:content.", nullable=True),
        Column("arm_probability", "float32", "Probability with which this arm was drawn.", nullable=True),
        Column(
            "slot_probabilities",
            "list<float32>",
            "Probability of each item at its position: below 1 where it was drawn by chance. Null if none was.",
            nullable=True,
        ),
    ),
    key=("user_id",),
    min_rows=1,
)

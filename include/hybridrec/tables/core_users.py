"""The users after cleaning."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="core_users",
    doc="One row per user, as the user table stands.",
    columns=(
        Column("user_id", "string", "Identifies the user."),
        Column("age_years", "int32", "Age.", nullable=True, minimum=0, maximum=130),
        Column("gender", "string", "As the source states it.", nullable=True),
        Column("occupation", "string", "As the source states it.", nullable=True),
        Column("region", "string", "Where the user lives, coarse.", nullable=True),
        Column("joined_at", "timestamp", "When the user joined.", nullable=True),
    ),
    key=("user_id",),
)

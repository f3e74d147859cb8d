"""The users after cleaning."""

from hybridrec.tables import Column, Table, standing_of

TABLE = Table(
    name="core_users",
    doc="One row per user that the user table has or ever had.",
    columns=(
        Column("user_id", "string", "Identifies the user."),
        Column("age_years", "int32", "Age.", nullable=True, minimum=0, maximum=130),
        Column("gender", "string", "As the source states it.", nullable=True),
        Column("occupation", "string", "As the source states it.", nullable=True),
        Column("region", "string", "Coarse place of residence.", nullable=True),
        Column("joined_at", "timestamp", "When the user joined.", nullable=True),
        Column("opted_out", "bool", "True: in no audience of an item.", default=False, if_bad=True),
        standing_of("user", "then the user gets no lists and has no part in those of others.", strict=True),
    ),
    key=("user_id",),
)

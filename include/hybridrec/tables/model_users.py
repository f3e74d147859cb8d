"""Dense user numbers of a run."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_users",
    doc="Every user who may get a list: all users known by as_of, ordered by user_id.",
    columns=(
        Column("user_idx", "int32", "Dense number, 0-based, in the order of user_id.", minimum=0),
        Column("user_id", "string", "Identifies the user."),
        Column("age_years", "int32", "Age.", nullable=True),
        Column("gender", "string", "As the source states it.", nullable=True),
        Column("occupation", "string", "As the source states it.", nullable=True),
        Column("region", "string", "Coarse place of residence.", nullable=True),
        Column("opted_out", "bool", "True: in no audience of an item."),
    ),
    key=("user_idx",),
    min_rows=1,
)

"""Off-policy estimates of the rewards that a run's arms and probabilities would have had."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_ope",
    doc="Mean reward of a policy, estimated from what other probabilities served; empty without a bandit or without feedback.",
    columns=(
        Column("policy", "string", "An arm for everybody; this_run: its probabilities; logged: the draws as they were."),
        Column("segment", "string", "Segment for which the arm was drawn, or all.", one_of=("all", "none", "light", "heavy")),
        Column("outcome", "string", "clicked: a user's day had a click. reward: sum of its rewards.", one_of=("clicked", "reward")),
        Column("estimator", "string", "File of estimators/."),
        Column("value", "float64", "Mean outcome of a user and day; null if the estimate is refused.", nullable=True),
        Column("low", "float64", "Lower end of the 95 % interval.", nullable=True),
        Column("high", "float64", "Upper end of the 95 % interval.", nullable=True),
        Column("effective", "float64", "Rows of equal weight that would say as much.", minimum=0),
        Column("n_rows", "int64", "Users and days in the log.", minimum=0),
        Column("refused", "string", "Why there is no estimate.", nullable=True),
    ),
    key=("policy", "segment", "outcome", "estimator"),
)

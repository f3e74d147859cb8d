"""Paired comparisons on the evaluation fold."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_comparisons",
    doc="Difference in NDCG between two lists over the same users, with a paired bootstrap interval.",
    columns=(
        Column("question", "string", "strategy, ablation or champion.", one_of=("strategy", "ablation", "champion")),
        Column("name", "string", "What is compared: a strategy, or the source that was left out."),
        Column("against", "string", "What it is compared with."),
        Column("segment", "string", "all, none, light or heavy history.", one_of=("all", "none", "light", "heavy")),
        Column("metric", "string", "As ndcg@10."),
        Column("difference", "float64", "Mean over users of name minus against."),
        Column("low", "float64", "Lower end of the 95 % interval."),
        Column("high", "float64", "Upper end of the 95 % interval."),
        Column("n_users", "int32", "Users compared.", minimum=0),
    ),
    key=("question", "name", "against", "segment", "metric"),
)

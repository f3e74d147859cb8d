"""Paired comparisons on the holdout split."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_comparisons",
    doc="Difference in NDCG between two lists over the same users, with a paired bootstrap interval.",
    columns=(
        Column("question", "string", "Purpose of the comparison.", one_of=("strategy", "best_source", "served")),
        Column("name", "string", "The list that is compared: a strategy's or a model's own."),
        Column("against", "string", "List that it is compared with."),
        Column(
            "segment",
            "string",
            "Length of history, or the labels on new items alone, or all judged users weighed like those who are served.",
            one_of=("all", "none", "light", "heavy", "new_items", "served"),
        ),
        Column("metric", "string", "As ndcg@10."),
        Column("difference", "float64", "Mean over users of name minus against."),
        Column("low", "float64", "Lower end of the 95 % interval."),
        Column("high", "float64", "Upper end of the 95 % interval."),
        Column("n_users", "int32", "Users compared.", minimum=0),
    ),
    key=("question", "name", "against", "segment", "metric"),
)

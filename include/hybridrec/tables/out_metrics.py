"""Quality of every retriever and strategy on the holdout split."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_metrics",
    doc="One row per list, segment and metric: mean over users with a 95 % bootstrap interval.",
    columns=(
        Column(
            "kind",
            "string",
            "Kind of list; policy: as chosen for each segment.",
            one_of=("source", "scorer", "strategy", "policy", "pool"),
        ),
        Column("name", "string", "Model or strategy."),
        Column(
            "segment",
            "string",
            "Length of history, or the labels on new items alone, or all judged users weighed like those who are served.",
            one_of=("all", "none", "light", "heavy", "new_items", "served"),
        ),
        Column("metric", "string", "As ndcg@10; the docs say range and meaning."),
        Column("value", "float64", "Mean over the segment's users."),
        Column("low", "float64", "Lower end of the interval."),
        Column("high", "float64", "Upper end of the interval."),
        Column("n_users", "int32", "Users with labels in the segment.", minimum=0),
    ),
    key=("kind", "name", "segment", "metric"),
    min_rows=1,
)

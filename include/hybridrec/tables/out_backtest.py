"""Quality of every list at several points in time."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_backtest",
    doc="One row per origin, list, segment and metric: what out_metrics said of a night as of that time.",
    columns=(
        Column("as_of", "timestamp", "The origin: the time that the night was not allowed to look past."),
        Column("kind", "string", "What makes the list.", one_of=("source", "scorer", "strategy", "pool")),
        Column("name", "string", "Model or strategy."),
        Column(
            "segment",
            "string",
            "Length of history, or the labels on new items alone.",
            one_of=("all", "none", "light", "heavy", "new_items"),
        ),
        Column("metric", "string", "As ndcg@10; the docs say range and meaning."),
        Column("value", "float64", "Mean over the segment's users."),
        Column("low", "float64", "Lower end of the 95 % interval."),
        Column("high", "float64", "Upper end of the 95 % interval."),
        Column("n_users", "int32", "Users with labels in the segment.", minimum=0),
    ),
    key=("as_of", "kind", "name", "segment", "metric"),
    min_rows=1,
)

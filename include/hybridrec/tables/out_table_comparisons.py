"""Quality of the tables besides the lists on the holdout split."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_table_comparisons",
    doc="Each table besides the lists, made from the holdout split's history, against a simple baseline on what was held out.",
    columns=(
        Column("name", "string", "Table.", one_of=("buy_again", "bought_together", "item_audiences", "trending")),
        Column("against", "string", "Baseline."),
        Column("metric", "string", "As ndcg@20."),
        Column("value", "float64", "Mean of the table."),
        Column("against_value", "float64", "Mean of the baseline."),
        Column("difference", "float64", "Mean of the table minus the baseline."),
        Column("low", "float64", "Lower end of the paired 95 % interval."),
        Column("high", "float64", "Upper end of the paired 95 % interval."),
        Column("n_judged", "int32", "Users or items judged.", minimum=0),
        Column("judged", "string", "The judged units, as users with held-out repeat purchases."),
    ),
    key=("name", "metric"),
)

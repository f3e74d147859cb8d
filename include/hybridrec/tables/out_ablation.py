"""Contribution of each model, measured by leaving it out."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_ablation",
    doc="A strategy with a model minus the same strategy without it, on the holdout split, beside what the model costs.",
    columns=(
        Column("scope", "string", "night: a sample, with few trees; study: in full, by the DAG ablation_study.", one_of=("night", "study")),
        Column("source", "string", "The model that was left out, a retriever or a pair scorer."),
        Column("strategy", "string", "The strategy that went without it."),
        Column("metric", "string", "As ndcg@20."),
        Column("marginal_ndcg", "float64", "Mean over users of with minus without; above 0 the model helps."),
        Column("low", "float64", "Lower end of the 95 % interval."),
        Column("high", "float64", "Upper end of the 95 % interval."),
        Column("n_users", "int32", "Users judged.", minimum=0),
        Column("unique_hits", "int32", "Their held-out items that this retriever alone retrieved.", minimum=0),
        Column("coverage_added", "float64", "Share of the catalogue that only the lists with it show; below 0: without it they show more."),
        Column("seconds", "float64", "Wall time of its fits, all splits together.", nullable=True, minimum=0),
        Column("peak_mib", "float64", "Highest memory of one of its fits.", nullable=True, minimum=0),
    ),
    key=("scope", "source", "strategy"),
)

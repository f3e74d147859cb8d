"""The candidates of a split: every retriever's candidates for each user, scored by every model."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_candidates",
    doc="One row per user and retrieved item; the ranker and holdout splits hold the users with labels, full holds all users.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Candidate; never one the user had before the cut.", minimum=0),
        Column("n_sources", "int16", "Number of retrievers that retrieved it.", minimum=1),
    ),
    key=("user_idx", "item_idx"),
    # score_<model>: the model's own score, higher is better, null where it has none for the pair.
    # rank_<model>: 1 is the retriever's best, null where the retriever did not retrieve the pair.
    # factor_<model>_<n>: product of the user's and the item's n-th factor, of a model whose embedding is worth knowing.
    # last<n>_<model>: nearness to the last n items of the history, by a model of nearness.
    open_prefixes=("score_", "rank_", "factor_", "last"),
    min_rows=1,
)

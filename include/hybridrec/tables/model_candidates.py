"""The pool of a fold: every source's nominees for each user, scored by every source."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_candidates",
    doc="One row per user and nominated item; folds rank and eval hold the users with labels, final holds all users.",
    columns=(
        Column("user_idx", "int32", "User.", minimum=0),
        Column("item_idx", "int32", "Candidate; never one the user had before the cut.", minimum=0),
        Column("n_sources", "int16", "How many sources nominated it.", minimum=1),
    ),
    key=("user_idx", "item_idx"),
    # score_<model>: the source's own score, higher is better, null where it has none for the pair.
    # rank_<model>: 1 is the source's best, null where the source did not nominate the pair.
    # factor_<model>_<n>: product of the user's and the item's n-th factor, of a model whose embedding is worth knowing.
    open_prefixes=("score_", "rank_", "factor_"),
    min_rows=1,
)

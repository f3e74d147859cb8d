"""Probability that a position of a shown list is examined."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_positions",
    doc="Probability that a position of a shown list is examined, from impressions and clicks before the ranker split's cut.",
    columns=(
        Column("position", "int32", "Position in the list, 1 is the top.", minimum=1),
        Column("n_impressions", "int64", "Impressions at this position.", minimum=0),
        Column("n_clicks", "int64", "Clicks on these impressions.", minimum=0),
        Column(
            "propensity",
            "float32",
            "Chance to be examined, as a share of that of the position which is examined most.",
            minimum=0,
            maximum=1,
        ),
    ),
    key=("position",),
)

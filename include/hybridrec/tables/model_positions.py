"""How much each place of a shown list is looked at."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="model_positions",
    doc="How likely a place of a shown list is looked at, from impressions and clicks before the cut of fold rank; only with impressions.",
    columns=(
        Column("position", "int32", "Place in the list, 1 is the top.", minimum=1),
        Column("n_impressions", "int64", "How often an item was shown there.", minimum=0),
        Column("n_clicks", "int64", "How many of these impressions were clicked.", minimum=0),
        Column(
            "propensity",
            "float32",
            "Chance to be looked at, as a share of that of the place which is looked at most.",
            minimum=0,
            maximum=1,
        ),
    ),
    key=("position",),
)

"""Answers of a run beside those that were served."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_replay",
    doc="Answers that were served beside those that the run has for the same users, a row per version and surface; made by the job replay.",
    columns=(
        Column("version", "string", "Published version that was served."),
        Column("surface", "string", "Surface that was asked for."),
        Column("n_answers", "int64", "Answers that were served.", minimum=0),
        Column("n_known", "int64", "Answers to users who have a list of the run.", minimum=0),
        Column("share_equal", "float64", "Share of those with the same items in the same order.", minimum=0, maximum=1),
        Column("share_first", "float64", "Share with the same first item.", minimum=0, maximum=1),
        Column("overlap", "float64", "Mean share of the served items that are in the run's first as many.", minimum=0, maximum=1),
        Column("clicked_served", "float64", "Clicks on served items, an answer.", nullable=True),
        Column("clicked_kept", "float64", "Clicks on items that the run has among its first as many, an answer.", nullable=True),
    ),
    key=("version", "surface"),
)

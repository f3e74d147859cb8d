"""Quality of every list at several points in time."""

from hybridrec.tables import Column, Table, out_metrics

TABLE = Table(
    name="out_backtest",
    doc="One row per origin, list, segment and metric: what out_metrics said of a night as of that time.",
    columns=(
        Column("as_of", "timestamp", "The origin: the time that the night was not allowed to look past."),
        *out_metrics.TABLE.columns,
    ),
    key=("as_of", *out_metrics.TABLE.key),
    min_rows=1,
)

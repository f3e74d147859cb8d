"""The columns of a published row that say what was tried on its user; null where nothing was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.tables import arrow_type, table

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("experiment", "variant", "arm", "arm_probability", "slot_probabilities")


def with_nothing_tried(rows: pa.Table) -> pa.Table:
    """Return rows of out_recommendations with those columns null."""
    import pyarrow as pa

    kinds = {column.name: column.type for column in table("out_recommendations").columns}
    for name in COLUMNS:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, arrow_type(kinds[name])))
    return rows

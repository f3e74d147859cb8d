"""The columns of a published row that say what was tried on its user: the arm, and the places filled by chance, with probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.groups import starts_of
from hybridrec.exploration.arms import published_name
from hybridrec.exploration.draws import NO_ARM, Draws
from hybridrec.reranking.inputs import ListInputs
from hybridrec.reranking.slots import Explored
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.tables import arrow_type, table
from hybridrec.types import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COLUMNS = ("experiment", "variant", "arm", "arm_probability", "slot_probabilities")


def with_nothing_tried(rows: pa.Table) -> pa.Table:
    """Return rows of out_recommendations with those columns null."""
    import pyarrow as pa

    kinds = {column.name: column.type for column in table("out_recommendations").columns}
    for name in COLUMNS:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, arrow_type(kinds[name])))
    return rows


def with_tried(rows: pa.Table, users: Ints, own: pd.DataFrame, explored: Explored, inputs: ListInputs) -> pa.Table:
    """Return rows of out_recommendations, one a user, with the arm and the probabilities of the places.

    own: the users' ranked rows before rules; no arm has ranked a user without any.
    """
    import pyarrow as pa

    if inputs.draws is not None:
        ranked = np.isin(users, own["user_idx"].to_numpy())
        names, probabilities = _arms(users, ranked, inputs.draws)
        rows = _replaced(rows, "arm", pa.array(names, pa.string()))
        rows = _replaced(rows, "arm_probability", pa.array(probabilities, pa.float32(), from_pandas=True))
    if inputs.slots is not None:
        rows = _replaced(rows, "slot_probabilities", _of_places(rows, users, explored))
    return rows


def _arms(users: Ints, ranked: NDArray[np.bool_], draws: Draws) -> tuple[list[str | None], Floats]:
    numbers = np.where(ranked, draws.of_user[users], NO_ARM)
    probabilities = np.where(numbers == NO_ARM, np.nan, draws.probabilities[users]).astype(np.float32)
    names = [
        None if number == NO_ARM else published_name(SEGMENTS[segment], draws.arms[number].name)
        for number, segment in zip(numbers, draws.segments[users], strict=True)
    ]
    return names, probabilities


def _of_places(rows: pa.Table, users: Ints, explored: Explored) -> pa.ListArray:
    """Return the probability of each item at its place for users for whom one was drawn; null for the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(rows["item_ids"]).to_numpy().astype(np.int64)
    starts = starts_of(explored.rows["user_idx"].to_numpy())
    first_row = np.searchsorted(users, explored.rows["user_idx"].to_numpy()[starts[:-1]])
    place = np.arange(len(explored.rows)) - np.repeat(starts[:-1], np.diff(starts))
    owner = np.repeat(first_row, np.diff(starts))
    listed = place < lengths[owner]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.ones(offsets[-1], dtype=np.float32)  # places that rules' rows do not fill are not drawn
    values[offsets[owner[listed]] + place[listed]] = explored.probabilities[listed]
    drawn = np.zeros(rows.num_rows, dtype=bool)
    drawn[owner[listed & (explored.probabilities < 1)]] = True
    whole = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    return pc.if_else(pa.array(drawn), whole, pa.scalar(None, whole.type))


def _replaced(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)

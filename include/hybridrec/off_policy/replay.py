"""Replay what was served through the lists of a run: what would it have answered, and how does that differ?

It shows how far two policies lie apart before anybody sees the new one. It is no estimate of what the new one would have earned: a click on
an item that only the new list has was never possible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

SERVED = ("recommendation_id", "user_id", "surface", "version", "item_ids")
SUMS = ("n_answers", "n_known", "equal", "first", "overlap", "clicked_served", "clicked_kept")


def replay(batches: Iterable[pa.RecordBatch], lists: pa.Table, clicks: pd.DataFrame | None = None) -> pa.Table:
    """Return out_replay.

    batches: of core_served, with SERVED. lists: user_id and item_ids of the run. clicks: recommendation_id and item_id, None if nothing is
    known of any.
    """
    import pyarrow as pa

    of_users = lists.select(["user_id", "item_ids"])
    parts = [_sums(batch, of_users, clicks) for batch in batches if batch.num_rows]
    definition = table("out_replay")
    if not parts:
        return definition.arrow_schema().empty_table()
    sums = pd.concat(parts).groupby(["version", "surface"], sort=True)[list(SUMS)].sum().reset_index()
    n_known = sums["n_known"].clip(lower=1)
    shares = {f"share_{name}": sums[name] / n_known for name in ("equal", "first")} | {"overlap": sums["overlap"] / n_known}
    clicked = {name: sums[name] / n_known if clicks is not None else None for name in ("clicked_served", "clicked_kept")}
    rows = sums.assign(**shares, **clicked)[list(definition.column_names)]
    return pa.Table.from_pandas(rows, definition.arrow_schema(), preserve_index=False)


def _sums(batch: pa.RecordBatch, lists: pa.Table, clicks: pd.DataFrame | None) -> pd.DataFrame:
    """Return the sums of SUMS over the answers of a batch, by version and surface."""
    import pyarrow as pa
    import pyarrow.compute as pc

    answers = pa.Table.from_batches([batch]).select(list(SERVED)).to_pandas()
    mine = lists.filter(pc.is_in(lists["user_id"], pc.unique(batch["user_id"]))).to_pandas()
    answers = answers.assign(known=answers["user_id"].isin(mine["user_id"]), length=answers["item_ids"].map(len))
    served, ours = _entries(answers.drop(columns="user_id")), _entries(mine)
    owners = answers["user_id"].to_numpy()[served["row"].to_numpy()]
    both = served.assign(user_id=owners).merge(
        ours.assign(user_id=mine["user_id"].to_numpy()[ours["row"].to_numpy()]), on=["user_id", "item"]
    )
    both = both[both["place_y"] < answers["length"].to_numpy()[both["row_x"].to_numpy()]]
    in_place = both[both["place_x"] == both["place_y"]]
    counts = {
        "overlap": both["row_x"].value_counts() / answers["length"].clip(lower=1),
        "equal": (in_place["row_x"].value_counts().reindex(answers.index, fill_value=0) == answers["length"]) & answers["known"],
        "first": in_place[in_place["place_x"] == 0]["row_x"].value_counts(),
    }
    figures = {name: values.reindex(answers.index, fill_value=0.0).astype(float).fillna(0.0) for name, values in counts.items()}
    figures |= _clicked(answers, served, both, clicks)
    rows = answers[["version", "surface"]].assign(n_answers=1, n_known=answers["known"].astype(int), **figures)
    sums: pd.DataFrame = rows.groupby(["version", "surface"])[list(SUMS)].sum().reset_index()
    return sums


def _entries(lists: pd.DataFrame) -> pd.DataFrame:
    """Return row (of the list), place (0 is the first) and item of each entry."""
    row = np.repeat(np.arange(len(lists)), lists["item_ids"].map(len).to_numpy(dtype=np.int64))
    items = [item for of_list in lists["item_ids"] for item in of_list]
    entries = pd.DataFrame({"row": row, "item": pd.Series(items, dtype=object)})
    return entries.assign(place=entries.groupby("row").cumcount())


def _clicked(answers: pd.DataFrame, served: pd.DataFrame, both: pd.DataFrame, clicks: pd.DataFrame | None) -> dict[str, pd.Series[float]]:
    """Return clicks on the served items of each answer, and those of them that the run has too, for answers to known users."""
    if clicks is None:
        nothing = pd.Series(0.0, index=answers.index)
        return {"clicked_served": nothing, "clicked_kept": nothing}
    pairs = pd.MultiIndex.from_frame(clicks[["recommendation_id", "item_id"]])
    counted = {}
    for name, entries, row in (("clicked_served", served, "row"), ("clicked_kept", both, "row_x")):
        ids = answers["recommendation_id"].to_numpy()[entries[row].to_numpy()]
        hit = pd.MultiIndex.from_arrays([ids, entries["item"]]).isin(pairs)
        counted[name] = entries[row][hit].value_counts().reindex(answers.index, fill_value=0) * answers["known"]
    return counted

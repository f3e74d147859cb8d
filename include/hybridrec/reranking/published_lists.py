"""The published lists of a block of users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridrec.base.surfaces import ANYBODY, DEFAULT_SURFACE
from hybridrec.policy.ranked_lists import user_blocks
from hybridrec.reranking.fill import OWN, first_entries
from hybridrec.reranking.inputs import ListInputs, load_inputs
from hybridrec.reranking.popular import FALLBACK_SENTENCES, TIERS
from hybridrec.reranking.rule_chain import apply_rules
from hybridrec.reranking.sentences import sentences
from hybridrec.reranking.slots import Explored, explore, require_support
from hybridrec.reranking.surface_inputs import surface_inputs
from hybridrec.reranking.tried import with_nothing_tried, with_tried
from hybridrec.rules import RuleContext
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import segments_of
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

FALLBACK = "popularity"  # strategy of a row that is all fallback


def list_batches(batches: Iterator[pa.RecordBatch], run: Run, folder: Path, surface: str = DEFAULT_SURFACE) -> Iterator[pa.RecordBatch]:
    """Yield out_recommendations, or out_surface_lists of another surface, for mapInArrow.

    Batches are sorted by user: first the user's row of model_users (item_idx is null), then the rows of model_ranked.
    """
    inputs = inputs_of(run, folder, surface)
    for block in user_blocks(batches):
        is_user = block["item_idx"].is_null()
        ranked = block.filter(block["item_idx"].is_valid()).drop_columns(["user_id"])
        users = block.filter(is_user).select(["user_idx", "user_id"])
        lists = make_lists(users, ranked, inputs)
        yield from (lists if surface == DEFAULT_SURFACE else on_surface(lists, surface)).combine_chunks().to_batches()


def inputs_of(run: Run, folder: Path, surface: str) -> ListInputs:
    """Return the inputs of the lists of a surface from the folder that write_inputs filled."""
    inputs = load_inputs(run, folder)
    return inputs if surface == DEFAULT_SURFACE else surface_inputs(inputs, surface)


def list_of_anybody(inputs: ListInputs, surface: str) -> pa.Table:
    """Return the row of out_surface_lists for unknown users: popular items, with the surface's rules."""
    import pyarrow as pa

    nobody = pa.table({"user_idx": pa.array([0], pa.int32()), "user_id": [ANYBODY]})
    ranked = table("model_ranked").arrow_schema().empty_table()
    context = inputs.context_of_anybody()
    entries = first_entries(_own_rows(ranked), _own_rows(ranked), inputs.fallback, context, inputs.rules)
    return on_surface(_as_rows(nobody, ranked, entries, context, inputs), surface)


def on_surface(lists: pa.Table, surface: str) -> pa.Table:
    """Return rows of out_surface_lists from rows in the form of out_recommendations."""
    import pyarrow as pa

    return table("out_surface_lists").conform(lists.append_column("surface", pa.array([surface] * lists.num_rows, pa.string())))


def make_lists(users: pa.Table, ranked: pa.Table, inputs: ListInputs) -> pa.Table:
    """Return out_recommendations of some users, in their order.

    users: user_idx, user_id, sorted. ranked: their rows of model_ranked, in any order; a user may have none.
    """
    users_idx = users["user_idx"].to_numpy().astype(np.int32)
    context = inputs.context(users_idx)
    own = _own_rows(ranked)
    kept = apply_rules(own, context, inputs.rules)
    explored = _explored(kept, users, inputs)
    entries = first_entries(explored.rows, own, inputs.fallback, context, inputs.rules)
    rows = _as_rows(users, ranked, entries, context, inputs)
    return with_tried(rows, users_idx, own, explored, inputs)


def _explored(kept: pd.DataFrame, users: pa.Table, inputs: ListInputs) -> Explored:
    if inputs.slots is None or kept.empty:
        return Explored(kept, np.ones(len(kept), dtype=np.float32))
    at = np.searchsorted(users["user_idx"].to_numpy(), kept["user_idx"].to_numpy())
    explored = explore(kept, users["user_id"].to_numpy()[at], inputs.k, inputs.slots)
    require_support(kept, explored, inputs.k, inputs.slots)
    return explored


def _own_rows(ranked: pa.Table) -> pd.DataFrame:
    columns = {"user_idx": np.int32, "item_idx": np.int32, "score": np.float64}
    return pd.DataFrame({name: ranked[name].to_numpy().astype(kind) for name, kind in columns.items()})


def _as_rows(users: pa.Table, ranked: pa.Table, entries: pd.DataFrame, context: RuleContext, inputs: ListInputs) -> pa.Table:
    import pyarrow as pa

    k = context.k
    row = np.searchsorted(context.users, entries["user_idx"].to_numpy())
    counts = np.bincount(row, minlength=len(context.users))
    from_fallback = np.bincount(row[entries["tier"].to_numpy() != OWN], minlength=len(context.users))
    origin = _ranked_rows(ranked, entries, len(inputs.items))
    retrievers, reasons = _retrievers_and_reasons(ranked, entries, origin, row, context, inputs)
    item_ids = pa.array(inputs.items["item_id"]).take(pa.array(entries["item_idx"].to_numpy()))
    columns = {
        "user_id": users["user_id"].combine_chunks(),
        "item_ids": _lists(item_ids, counts),
        "scores": _lists(pa.array(entries["score"].to_numpy(), pa.float32()), counts),
        "reasons": _lists(pa.array(reasons, pa.string()), counts),
        "sources": _lists(pa.array(retrievers, pa.string()), counts),
        "reason": np.select([from_fallback == counts, from_fallback > 0], ["fallback", "filled"], default="ranked").tolist(),
        "strategy": _strategies(ranked, origin, row, len(context.users)),
        "segment": segments_of(np.diff(context.seen.indptr), inputs.run.config.light_max_items).tolist(),
        "shortfall": pa.array([None if count == k else f"{count} of {k} places: {inputs.no_more}" for count in counts], pa.string()),
    }
    return table("out_recommendations").conform(with_nothing_tried(pa.table(columns)))


def _ranked_rows(ranked: pa.Table, entries: pd.DataFrame, n_items: int) -> NDArray[np.int64]:
    """Return the row of `ranked` that each entry comes from, -1 for one from the fallback."""
    keys = ranked["user_idx"].to_numpy().astype(np.int64) * n_items + ranked["item_idx"].to_numpy()
    order = np.argsort(keys)
    asked = entries["user_idx"].to_numpy().astype(np.int64) * n_items + entries["item_idx"].to_numpy()
    ranked_rows = np.full(len(asked), -1)
    own = entries["tier"].to_numpy() == OWN
    ranked_rows[own] = order[np.searchsorted(keys, asked[own], sorter=order)]
    return ranked_rows


def _retrievers_and_reasons(
    ranked: pa.Table, entries: pd.DataFrame, origin: NDArray[np.int64], row: NDArray[np.int64], context: RuleContext, inputs: ListInputs
) -> tuple[list[str], list[str]]:
    tiers = entries["tier"].to_numpy()
    own = np.flatnonzero(origin >= 0)
    retrieved = ranked["sources"].take(origin[own]).to_pylist()
    items = entries["item_idx"].to_numpy()[own]
    told = sentences([names[0] for names in retrieved], row[own], items, context.seen, inputs.items, inputs.neighbours)
    retrievers = [TIERS[tier] if tier != OWN else "" for tier in tiers]
    reasons = [FALLBACK_SENTENCES[tier] if tier != OWN else "" for tier in tiers]
    for index, names, sentence in zip(own, retrieved, told, strict=True):
        retrievers[index], reasons[index] = "+".join(names), sentence
    return retrievers, reasons


def _strategies(ranked: pa.Table, origin: NDArray[np.int64], row: NDArray[np.int64], n_users: int) -> list[str]:
    names = [FALLBACK] * n_users
    own = np.flatnonzero(origin >= 0)
    for user, name in zip(row[own], ranked["strategy"].take(origin[own]).to_pylist(), strict=True):
        names[user] = name
    return names


def _lists(values: pa.Array, counts: NDArray[np.int64]) -> pa.ListArray:
    import pyarrow as pa

    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32()), flat)

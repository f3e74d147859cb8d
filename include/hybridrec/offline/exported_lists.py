"""Export the lists of a run as plain Parquet: the published list of every user, and each retriever's own."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.candidates.candidate_blocks import choose_models, retrieves
from hybridrec.retrieval.sparse import in_history
from hybridrec.runs.run import Run
from hybridrec.splitting import purposes
from hybridrec.splitting.likes import disliked
from hybridrec.training.fits import load_fit, training_data
from hybridrec.types import NO_ITEM, Ints, Neighbours, Retriever, UserBlock

if TYPE_CHECKING:
    import pyarrow as pa
    from scipy.sparse import csr_array

USERS_AT_ONCE = 2_000


def write_recommendations(run: Run, path: Path, k: int) -> int:
    """Return user_id, item_id, rank, score, reason of every user with an event: the ranked list, filled up with what is popular.

    Returns the number of rows. Items that the user has had are never among them.
    """
    import pyarrow.parquet as pq

    names = _Names(run)
    users = everybody(run)
    ranked = _ranked(run)
    filler = load_fit("popularity", run.artefact("models/popularity", "full"))
    assert isinstance(filler, Retriever)
    n_rows = 0
    with pq.ParquetWriter(path, recommendations_schema(), compression="zstd") as writer:
        for start in range(0, len(users.user_idx), USERS_AT_ONCE):
            block = users.take(np.arange(start, min(start + USERS_AT_ONCE, len(users.user_idx))))
            first, last = np.searchsorted(ranked["user_idx"].to_numpy(), [block.user_idx[0], block.user_idx[-1] + 1])
            part = _filled(ranked.slice(first, last - first), block, filler, k, disliked(run, "full", block.user_idx))
            writer.write_table(names.named(part).cast(recommendations_schema()))
            n_rows += part.num_rows
    return n_rows


def write_candidates(run: Run, folder: Path, k: int, at_once: int) -> None:
    """Write candidates_<retriever>.parquet for every retriever: user_id, item_id, rank, score of its own top k."""
    retrievers = [name for name in choose_models(run).used if retrieves(name)]
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_write_retriever, run.run_id, name, folder, k) for name in retrievers]:
            done.result()


def everybody(run: Run) -> UserBlock:
    """Return all users with history on the full split."""
    data = training_data(run, "full")
    known = np.flatnonzero(np.diff(data.matrix.indptr)).astype(np.int32)
    everyone = UserBlock(np.arange(data.matrix.shape[0], dtype=np.int32), data.matrix, data.last_event_day.astype(np.float32))
    return replace(everyone.take(known), had=purposes.had(run, "full", known))


def _write_retriever(run_id: str, retriever: str, folder: Path, k: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = Run.open(run_id)
    names, users = _Names(run), everybody(run)
    model = load_fit(retriever, run.artefact(f"models/{retriever}", "full"))
    assert isinstance(model, Retriever)
    blocks = []
    for start in range(0, len(users.user_idx), USERS_AT_ONCE):
        block = users.take(np.arange(start, min(start + USERS_AT_ONCE, len(users.user_idx))))
        blocks.append(names.named(_flat(block.user_idx, model.top_k(block, k))))
    pq.write_table(pa.concat_tables(blocks), folder / f"candidates_{retriever}.parquet", compression="zstd")


def _ranked(run: Run) -> pa.Table:
    """Return user_idx, item_idx, score, reason of all ranked rows, by user and rank; a reason is joined in Arrow, not row by row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = run.read("model_ranked", columns=["user_idx", "item_idx", "score", "rank", "strategy", "sources"])
    rows = rows.sort_by([("user_idx", "ascending"), ("rank", "ascending")])
    reason = pc.binary_join_element_wise(rows["strategy"], pc.binary_join(rows["sources"], ","), ": ")
    return pa.table({name: rows[name] for name in ("user_idx", "item_idx", "score")} | {"reason": reason})


def _filled(ranked: pa.Table, users: UserBlock, filler: Retriever, k: int, unwanted: csr_array) -> pa.Table:
    """Return k rows a user: the ranked ones, then popular items that are neither seen nor listed, nor disliked (unwanted)."""
    import pandas as pd
    import pyarrow as pa

    own = ranked.to_pandas().assign(own=True)
    more = _flat(users.user_idx, filler.top_k(users, 2 * k + int(np.diff(unwanted.indptr).max(initial=0)))).to_pandas()
    more = more[~in_history(unwanted, np.searchsorted(users.user_idx, more["user_idx"]), more["item_idx"].to_numpy())]
    lowest = own.groupby("user_idx")["score"].min().reindex(more["user_idx"]).fillna(1.0).to_numpy()
    more = more.assign(score=lowest - more["rank"], reason="popularity", own=False).drop(columns="rank")
    rows = pd.concat([own, more], ignore_index=True).drop_duplicates(["user_idx", "item_idx"])
    rows = rows.sort_values(["user_idx", "own"], ascending=[True, False], kind="stable")
    rows["rank"] = rows.groupby("user_idx").cumcount() + 1
    return pa.Table.from_pandas(rows[rows["rank"] <= k].drop(columns="own"), preserve_index=False)


def _flat(user_idx: Ints, lists: Neighbours) -> pa.Table:
    import pyarrow as pa

    rows, positions = np.nonzero(lists.items != NO_ITEM)
    columns = {"user_idx": user_idx[rows], "item_idx": lists.items[rows, positions]}
    return pa.table(columns | {"rank": (positions + 1).astype(np.int32), "score": lists.scores[rows, positions]})


class _Names:
    """Turns dense numbers back to the ids of the data."""

    def __init__(self, run: Run) -> None:
        self._users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")["user_id"].combine_chunks()
        self._items = run.read("model_items", columns=["item_idx", "item_id"]).sort_by("item_idx")["item_id"].combine_chunks()

    def named(self, rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        ids = {"user_id": self._users.take(rows["user_idx"]), "item_id": self._items.take(rows["item_idx"])}
        rest = [name for name in ("rank", "score", "reason") if name in rows.column_names]
        return pa.table(ids | {name: rows[name] for name in rest})


def recommendations_schema() -> pa.Schema:
    """Return the schema of recommendations.parquet."""
    import pyarrow as pa

    return pa.schema(
        [("user_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int32()), ("score", pa.float32()), ("reason", pa.string())]
    )

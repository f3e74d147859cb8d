"""Check the lists of surfaces before they are published: broken rows, and items that a surface does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.surfaces import ANYBODY, Surface
from hybridrec.publishing.gathered_lists import BATCH_ROWS, BROKEN, NOTHING, gather
from hybridrec.retrieval.sparse import in_history
from hybridrec.runs.run import Run
from hybridrec.training.fits import user_block

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_USERS = 5_000
FAULTS = BROKEN | {
    "missing_users": "users of the run without a row",
    "repeated_users": "users with several rows",
    "anybody": "rows missing or too many for unknown users",
    "not_allowed": "positions with an item that the surface does not allow",
}


def faults(run: Run) -> dict[str, dict[str, int]]:
    """Return the faults of each surface of the run: counts by kind, see FAULTS."""
    return {name: _of_surface(run, name, surface) for name, surface in run.config.surfaces.items()}


def _of_surface(run: Run, name: str, surface: Surface) -> dict[str, int]:
    counts = {"anybody": -1}  # one row is expected

    def of_users() -> Iterator[pa.RecordBatch]:
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        rows = ds.dataset(run.files("out_surface_lists"), format="parquet")  # sorted by surface, so others' row groups are not read
        for own in rows.to_batches(filter=pc.field("surface") == name, batch_size=BATCH_ROWS):
            if not own.num_rows:
                continue
            is_user = pc.not_equal(own["user_id"], ANYBODY)
            counts["anybody"] += own.num_rows - int(pc.sum(is_user).as_py() or 0)
            yield own.filter(is_user)

    lists = gather(run, of_users(), run.config.on_surface(name).k)
    missing, repeated = int(np.count_nonzero(lists.rows == 0)), int(np.count_nonzero(lists.rows > 1))
    counts |= {"anybody": abs(counts["anybody"]), "missing_users": missing, "repeated_users": repeated} | lists.broken
    return counts | {"not_allowed": _not_allowed(run, surface, lists.items)}


def _not_allowed(run: Run, surface: Surface, lists: NDArray[np.int32]) -> int:
    """Count the positions of lists, int32 (n_users, k), whose item has the wrong categories or is, or is not, of the user's history."""
    categories = run.read("model_items", columns=["item_idx", "categories"]).sort_by("item_idx")["categories"].to_pylist()
    wanted, unwanted = set(surface.only_categories), set(surface.not_categories)
    wrong = np.array([bool(wanted and wanted.isdisjoint(names)) or not unwanted.isdisjoint(names) for names in categories], dtype=bool)
    found = int(np.count_nonzero(wrong[lists[lists != NOTHING]]))
    if surface.history == "night":
        return found
    for start in range(0, len(lists), BLOCK_USERS):
        block = lists[start : start + BLOCK_USERS]
        row, at = np.nonzero(block != NOTHING)
        history = user_block(run, "full", np.arange(start, start + len(block), dtype=np.int32)).history
        found += int(np.count_nonzero(in_history(history, row, block[row, at]) != (surface.history == "again")))
    return found

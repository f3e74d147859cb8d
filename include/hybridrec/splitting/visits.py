"""Keep the types of events: only with them a view can be seen to lead to a purchase.

model_interactions has one row a pair, whatever happened; so a night with several types of events keeps one more table, which only those
read who ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.base.config import Config
from hybridrec.splitting import held_out
from hybridrec.splitting.likes import is_positive
from hybridrec.types import Visits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hybridrec.runs.run import Run, Split

TABLE = "model_visits"


def types_of(config: Config, files: Iterable[str]) -> tuple[str, ...]:
    """Return the types of positive events where events have a calendar and more than one type, sorted; else none. files: of core_events."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if config.split != "time":
        return ()
    found: set[str] = set()
    for batch in ds.dataset(list(files)).scanner(columns=["event_type"], filter=is_positive(config)).to_batches():
        found.update(pc.unique(batch.column(0)).to_pylist())
    return tuple(sorted(found)) if len(found) > 1 else ()


def visited(events: DataFrame, split: Split) -> DataFrame:
    """Return model_visits of a split. events: user_idx, item_idx, event_at, event_type, stage of all positive events."""
    from pyspark.sql import functions as F

    days = held_out.history(events, split).groupBy("user_idx", "item_idx", "event_type", F.to_date("event_at").alias("day"))
    return days.agg(F.min("event_at").alias("event_at")).drop("day")


def read(run: Run, split: str) -> Visits | None:
    """Return the visits of a split; None for a run whose events are all of one type."""
    if not run.manifest.event_types:
        return None
    rows = run.read(TABLE, split)
    weights = run.config.event_weights
    of_row = np.array([weights[name] for name in run.manifest.event_types], np.float32)
    at = rows["event_at"].cast("int64").to_numpy()
    users, items = (rows[name].to_numpy() for name in ("user_idx", "item_idx"))
    kind = np.searchsorted(np.array(run.manifest.event_types), rows["event_type"].to_numpy(zero_copy_only=False).astype(str))
    order = np.lexsort((kind, items, at, users))
    days = (run.split(split).cut.timestamp() * 1e6 - at[order]) / (held_out.DAY_SECONDS * 1e6)
    return Visits(users[order], items[order], days, of_row[kind[order]])

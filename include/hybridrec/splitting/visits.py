"""Keep the types of events: only with them a view can be seen to lead to a purchase.

model_interactions has one row a pair, whatever happened; so a night with several types of events keeps one more table, which only those
read who ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.base.config import Config
from hybridrec.splitting import held_out
from hybridrec.splitting.likes import is_positive
from hybridrec.types import Doubles, Ints, Visits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hybridrec.runs.run import Run, Split

TABLE = "model_visits"


def types_of(config: Config, files: Iterable[str], as_of: datetime) -> tuple[str, ...]:
    """Return the types of positive events before as_of where events have a calendar and more than one type, sorted; else none.

    files: of core_events.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if config.split != "time":
        return ()
    found: set[str] = set()
    known = is_positive(config) & (pc.field("event_at") < pa.scalar(as_of))
    for batch in ds.dataset(list(files)).scanner(columns=["event_type"], filter=known).to_batches():
        found.update(pc.unique(batch.column(0)).to_pylist())
    return tuple(sorted(found)) if len(found) > 1 else ()


def visited(events: DataFrame, split: Split) -> DataFrame:
    """Return model_visits of a split. events: user_idx, item_idx, event_at, event_type, stage of all positive events."""
    from pyspark.sql import functions as F

    days = held_out.history(events, split).groupBy("user_idx", "item_idx", "event_type", F.to_date("event_at").alias("day"))
    return days.agg(F.min("event_at").alias("event_at")).drop("day")


def read(run: Run, split: str) -> Visits | None:
    """Return the visits of a split; None for a run whose events are all of one type."""
    import pyarrow.parquet as pq

    if not run.manifest.event_types:
        return None
    weight = run.config.event_weights
    of_weights = np.array([weight[name] for name in run.manifest.event_types], np.float32)
    files = run.files(TABLE, split)
    n_rows = sum(pq.read_metadata(file).num_rows for file in files)
    users, items, days, weights = (np.empty(n_rows, kind) for kind in (np.int32, np.int32, np.float64, np.float32))
    start = 0
    for file in files:  # each has a range of the users, so only one has to be sorted at a time
        of_file = _of_file(file, run.split(split), run.manifest.event_types)
        filled = slice(start, start + len(of_file.users))
        users[filled], items[filled], days[filled] = of_file.users, of_file.items, of_file.days
        weights[filled] = of_weights[of_file.types]
        start = filled.stop
    return Visits(users, items, days, weights)


class _Typed(NamedTuple):
    """Visits of a file, by user, oldest first; types: int32 (n,), numbers of their types."""

    users: Ints
    items: Ints
    days: Doubles
    types: Ints


def _of_file(file: str, split: Split, event_types: tuple[str, ...]) -> _Typed:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(file, partitioning=None)
    types = pc.index_in(rows["event_type"], value_set=pa.array(event_types)).to_numpy()
    at = rows["event_at"].cast("int64").to_numpy()
    users, items = (rows[name].to_numpy() for name in ("user_idx", "item_idx"))
    order = np.lexsort((types, items, at, users))
    days = (split.cut.timestamp() * 1e6 - at[order]) / (held_out.DAY_SECONDS * 1e6)
    return _Typed(users[order], items[order], days, types[order])

"""Make the outcomes of draws: one row a user, arm and published version, from the rows of model_feedback.

All answers count, also those without a report that they were seen: chance decides about arms, so unseen lists are as frequent with each of
them, while "seen" may itself depend on the list (analysis by intention to treat).

An answer whose clicks may still come is left to the next night. To count it as one without a click would lower the arms that were served
last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

FEEDBACK = "model_feedback"
COLUMNS = ("user_id", "served_at", "version", "arm", "probability", "arm_probability", "clicked", "reward")
UNIT = ["user_id", "arm", "version"]  # a day may have two versions, so two draws


def night_outcomes(run: Run) -> pa.Table:
    """Return the outcomes of the draws that are old enough by the run's as_of; none if nothing has been fed back."""
    import pyarrow.dataset as ds

    if not store.is_committed(run.dataset(FEEDBACK)):
        return outcomes_of((), run.manifest.as_of)
    data = ds.dataset(run.files(FEEDBACK), format="parquet", partitioning=None)
    before = run.manifest.as_of - timedelta(hours=run.config.bandit.window_hours)
    return outcomes_of(data.to_batches(columns=list(COLUMNS), filter=ds.field("arm").is_valid()), before)


def outcomes_of(batches: Iterable[pa.RecordBatch], mature_before: datetime) -> pa.Table:
    """Return user_id, arm, version, arm_probability, clicked, reward, served_at (the last one), sorted by user, arm and version.

    batches: rows of model_feedback with COLUMNS; an arm without a probability was not drawn, or its answer was altered, and is left out.
    """
    import pyarrow as pa

    parts = list(_by_unit(batches, mature_before))
    if not parts:
        return _schema().empty_table()
    whole = _summed(pa.concat_tables(parts))
    return whole.cast(_schema()).sort_by([(name, "ascending") for name in UNIT])


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, time = pa.string(), pa.timestamp("us", tz="UTC")
    kinds = (("user_id", text), ("arm", text), ("version", text), ("arm_probability", pa.float64()), ("clicked", pa.bool_()))
    return pa.schema([*kinds, ("reward", pa.float64()), ("served_at", time)])


def _by_unit(batches: Iterable[pa.RecordBatch], mature_before: datetime) -> Iterator[pa.Table]:
    """Yield what each batch says of each unit: there are fewer of them than rows, by the length of a list."""
    import pyarrow as pa
    import pyarrow.compute as pc

    latest = pa.scalar(mature_before, pa.timestamp("us", tz="UTC"))
    for batch in batches:
        rows = pa.Table.from_batches([batch]).select(list(COLUMNS))
        counted = pc.and_(pc.is_valid(rows["arm"]), pc.is_valid(rows["probability"]))
        rows = rows.filter(pc.and_(counted, pc.less_equal(rows["served_at"], latest)))
        if rows.num_rows:
            yield _summed(rows)


def _summed(rows: pa.Table) -> pa.Table:
    sums = rows.group_by(UNIT).aggregate([("arm_probability", "max"), ("clicked", "any"), ("reward", "sum"), ("served_at", "max")])
    named = {
        f"{name}_{how}": name for name, how in (("arm_probability", "max"), ("clicked", "any"), ("reward", "sum"), ("served_at", "max"))
    }
    renamed = sums.rename_columns([named.get(name, name) for name in sums.column_names])
    return renamed.select(_schema().names)

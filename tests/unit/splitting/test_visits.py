"""Visits by type: read as they were written, file by file."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import Config
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run, RunManifest, Split
from hybridrec.splitting import visits
from hybridrec.tables import table

CUT = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = ("add_to_cart", "purchase", "view")


@pytest.fixture
def run(home: Path) -> Run:
    splits = {"holdout": Split("holdout", CUT, CUT + timedelta(days=9)), "full": Split("full", CUT + timedelta(days=9), None)}
    manifest = RunManifest("typed", "shop", CUT, (), False, "test", splits, {}, Config(), event_types=TYPES)
    return Run.create(manifest, Settings.from_env())


def written(run: Run, n_rows: int, n_files: int) -> pd.DataFrame:
    """Write model_visits as Spark does, a range of users to a file, and return them."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"user_idx": rng.integers(0, n_rows // 50, n_rows), "item_idx": rng.integers(0, 90, n_rows)})
    rows["event_type"] = np.array(TYPES, object)[rng.integers(0, len(TYPES), n_rows)]
    rows["event_at"] = CUT - pd.to_timedelta(rng.integers(1, 90 * 24, n_rows), "h")
    rows = rows.sort_values(["user_idx", "item_idx"])
    file = rows.user_idx * n_files // (n_rows // 50)
    with run.staged(visits.TABLE, "holdout") as folder:
        for number in range(n_files):
            part = table(visits.TABLE).conform(pa.Table.from_pandas(rows[file == number], preserve_index=False))
            pq.write_table(part, folder / f"part-{number:05d}.parquet")
    return rows


def test_visits_are_read_by_user_oldest_first(run: Run) -> None:
    rows = written(run, 2_000, 3)
    rows["days"] = (CUT - rows.event_at).dt.total_seconds() / 86_400
    rows = rows.sort_values(["user_idx", "event_at", "item_idx", "event_type"])
    found = visits.read(run, "holdout")
    assert found is not None
    assert (found.users == rows.user_idx).all() and (found.items == rows.item_idx).all()
    assert found.days == pytest.approx(rows.days)
    assert found.weights == pytest.approx(rows.event_type.map(run.config.event_weights))


def test_types_are_no_text_in_memory(run: Run) -> None:
    n_rows = 200_000
    written(run, n_rows, 8)
    visits.read(run, "holdout")
    tracemalloc.start()
    visits.read(run, "holdout")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / n_rows < 40, "20 bytes a visit that the model gets, and those of one file"

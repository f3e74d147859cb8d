"""The real MovieLens wheel."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from hybridrec.base.settings import Settings
from hybridrec.ingest import landing


def test_the_real_wheel_holds_a_hundred_thousand_ratings(home: Path) -> None:
    found = landing.land(Settings.from_env(), "movielens_100k", 1, datetime.now(UTC))
    assert [landing.count_rows(found.files(part)) for part in ("events", "items", "users")] == [100_000, 1_682, 943]
    assert "zip_code" not in pq.read_schema(found.files("users")[0]).names

"""A folder as somebody gives it to the benchmark, with the least that a delivery needs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a delivery whose events have neither event_type nor rating."""
    events = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "event_at": [AT] * 3})
    events.to_parquet(tmp_path / "events.parquet")
    pd.DataFrame({"item_id": ["a", "c"], "categories": [["x"], []]}).to_parquet(tmp_path / "items.parquet")
    return tmp_path

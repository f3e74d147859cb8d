"""A delivery that is one robot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError

if TYPE_CHECKING:
    from tests.support.delivery import Delivery


@pytest.mark.usefixtures("compiled_stages")
def test_a_million_rows_of_one_user_are_a_robot(delivery: Delivery) -> None:
    n = 1_000_000
    delivery.config = replace(delivery.config, max_events_per_day=10_000)
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
    rows = pa.table(
        {
            "event_id": pa.array(range(n)).cast(pa.string()),
            "user_id": pa.repeat("robot", n),
            "item_id": pa.repeat("i1", n),
            "event_type": pa.repeat("view", n),
            "event_at": pa.array(range(start, start + 80_000 * n, 80_000), pa.timestamp("us", tz="UTC")),
        }
    )
    (delivery.folder / "events").mkdir()
    pq.write_table(rows, delivery.folder / "events" / "robot.parquet")
    delivery.clean()
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e1"]
    assert delivery.manifest("quarantine_core_events").rows == n
    (delivery.folder / "events.csv").unlink()
    pq.write_table(rows.slice(0, 10_001), delivery.folder / "events" / "robot.parquet")  # nothing but a robot, however long
    before = delivery.manifest()
    with pytest.raises(
        PermanentError, match=r"core_events: 10001 of 10001 rows are bad \(robot: more than 10000 events of one user on one day"
    ):
        delivery.clean("core_events")
    assert delivery.manifest() == before

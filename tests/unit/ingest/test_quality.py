"""Great Expectations: suites follow from the tables, a failure names the expectation, Data Docs need no network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base import extensions
from hybridrec.ingest import quality
from hybridrec.tables import table

DAY = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", [name for name in extensions.names("tables") if name.startswith("core_")])
def test_every_promise_of_a_table_is_an_expectation(name: str) -> None:
    definition = table(name)
    expected = quality.suite_expectations(definition, 7)
    by_name: dict[str, list[object]] = {}
    for one in expected:
        by_name.setdefault(one.name, []).append(one.arguments.get("column"))
    assert by_name["ExpectColumnValuesToBeUnique"] == list(definition.key)
    assert set(by_name["ExpectColumnValuesToNotBeNull"]) == {c.name for c in definition.columns if not c.nullable}
    assert by_name.get("ExpectColumnValuesToBeInSet", []) == [c.name for c in definition.columns if c.one_of]
    ranged = [c.name for c in definition.columns if c.minimum is not None or c.maximum is not None]
    assert by_name["ExpectColumnValuesToBeBetween"] == ranged
    assert next(one for one in expected if one.name == "ExpectTableRowCountToBeBetween").arguments == {"min_value": 7}


@pytest.mark.parametrize("name", extensions.names("tables"))
def test_a_column_that_may_be_null_is_not_asked_to_be_complete(name: str) -> None:
    definition = table(name)
    complete = [one.arguments for one in quality.suite_expectations(definition, 0) if one.name == "ExpectColumnValuesToNotBeNull"]
    assert complete == [{"column": column.name} for column in definition.columns if not column.nullable]


def test_freshness_has_an_upper_end_always_and_a_lower_one_on_request() -> None:
    assert quality.freshness_expectation(DAY, 0).arguments == {"column": "event_at", "max_value": DAY}
    assert quality.freshness_expectation(DAY, 2).arguments["min_value"] == DAY - timedelta(days=2)


def test_a_sample_is_every_nth_row_of_every_file(tmp_path: Path) -> None:
    for number in range(2):
        pq.write_table(pa.table({"n": range(number * 10, number * 10 + 10)}), tmp_path / f"{number}.parquet")
    files = sorted(tmp_path.iterdir())
    assert quality.sample_rows(files, 4)["n"].to_pylist() == [0, 4, 8, 10, 14, 18]
    assert quality.sample_rows(files, 1).num_rows == 20


def test_vectors_are_not_read_for_a_check(tmp_path: Path) -> None:
    """The other lists are, and the columns keep their order and types."""
    vectors = pa.array([[0.5, 1.0], None], pa.list_(pa.float32()))
    table = pa.table({"item_id": ["a", "b"], "vector": vectors, "categories": [["x"], []]})
    pq.write_table(table, tmp_path / "rows.parquet")
    sample = quality.sample_rows([tmp_path / "rows.parquet"], 1)
    assert sample.schema.equals(table.schema)
    assert sample.drop_columns(["vector"]).equals(table.drop_columns(["vector"])) and sample["vector"].null_count == 2

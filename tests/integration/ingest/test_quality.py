"""Checks of core tables by Great Expectations: what passes, what fails and what the record says."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.ingest import datadocs, quality
from hybridrec.ingest.landing import RECORD
from hybridrec.storage import store
from hybridrec.tables import table
from jobs import check_table

DAY = datetime(2026, 1, 5, tzinfo=UTC)


def commit(settings: Settings, name: str, rows: list[dict[str, object]]) -> None:
    """Make rows the newest state of a core table of source `files`, as a broken cleaning step would."""
    definition = table(name)
    nullable = pa.schema([field.with_nullable(True) for field in definition.arrow_schema()])
    full = [dict.fromkeys(definition.column_names) | row for row in rows]
    folder = settings.warehouse("files") / name
    attempt = store.new_attempt(folder)
    pq.write_table(pa.Table.from_pylist(full, schema=nullable), attempt / "part-0.parquet")
    propose = store.propose if name.startswith("core_") else store.commit
    propose(folder, store.Manifest(store.files_below(folder, attempt), len(rows), store.hash_files(attempt)))


def land(settings: Settings, landed_at: datetime) -> None:
    """Land an empty delivery at that time."""
    with store.staged(settings.warehouse("files") / "raw") as folder:
        store.write_json(folder / RECORD, {"source": "files", "seed": 1, "landed_at": landed_at.isoformat()})


def item(n: int, **values: object) -> dict[str, object]:
    return {
        "item_id": f"i{n}",
        "title": f"Item {n}",
        "categories": ["a"],
        "is_available": True,
        "is_promoted": False,
        "is_consumable": False,
        "standing": "listed",
    } | values


def event(n: int, **values: object) -> dict[str, object]:
    base = {"event_id": f"e{n}", "user_id": "u", "item_id": "i", "event_type": "view", "event_at": DAY, "event_date": DAY.date()}
    return base | values


@pytest.fixture
def warehouse(home: Path) -> Settings:
    """Provide source `files` with a landing on the day after DAY."""
    settings = Settings.from_env()
    land(settings, DAY + timedelta(days=1))
    return settings


def test_a_table_that_is_not_there(warehouse: Settings) -> None:
    with pytest.raises(PermanentError, match=r"core_items: source files has no such table yet; run python -m jobs.clean_table"):
        quality.check_table(warehouse, "files", "core_items", Config())


def test_a_good_table_passes_and_leaves_a_record(warehouse: Settings) -> None:
    commit(warehouse, "core_events", [event(n) for n in range(10)])
    checks = quality.check_table(warehouse, "files", "core_events", Config())
    assert (checks.success, checks.rows, checks.checked_rows) == (True, 10, 10)
    assert checks == quality.read_checks(warehouse, "files", "core_events")
    assert checks.statistics["success_percent"] == 100
    assert {check.error for check in checks.checks} == {None}
    first = store.read_manifest(warehouse.warehouse("files") / "checks_core_events").content_hash
    quality.check_table(warehouse, "files", "core_events", Config())
    # volume is compared with the last check, so the second record names another minimum; the third is like the second
    second = store.read_manifest(warehouse.warehouse("files") / "checks_core_events").content_hash
    quality.check_table(warehouse, "files", "core_events", Config())
    assert second != first
    assert store.read_manifest(warehouse.warehouse("files") / "checks_core_events").content_hash == second


def test_a_table_is_checked_again_when_something_has_changed(warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    dated = Config(max_event_age_days=2)
    rows = [event(n) for n in range(10)]
    commit(warehouse, "core_events", rows)
    assert not quality.is_checked(warehouse, "files", "core_events", dated)
    quality.check_table(warehouse, "files", "core_events", dated)
    assert quality.is_checked(warehouse, "files", "core_events", dated)
    assert not quality.is_checked(warehouse, "files", "core_events", Config())  # another option
    land(warehouse, DAY + timedelta(days=2))
    assert not quality.is_checked(warehouse, "files", "core_events", dated)  # the newest event is older now
    quality.check_table(warehouse, "files", "core_events", Config())
    land(warehouse, DAY + timedelta(days=9))
    assert quality.is_checked(warehouse, "files", "core_events", Config())
    with monkeypatch.context() as watched:
        watched.setattr(quality, "run_checkpoint", lambda *_: pytest.fail("it was checked again"))
        check_table.main(check_table.Params("files", "core_events"))
    commit(warehouse, "core_events", [*rows, event(10)])
    assert not quality.is_checked(warehouse, "files", "core_events", Config())
    commit(warehouse, "core_events", rows)
    assert quality.is_checked(warehouse, "files", "core_events", Config())
    entrance = datadocs.index_page(warehouse)
    page = entrance.read_text()
    entrance.unlink()
    assert not quality.is_checked(warehouse, "files", "core_events", Config())
    entrance.write_text(page)
    commit(warehouse, "quarantine_core_events", [{"reason": "r", "row": "{}", "source_file": "f"}])
    assert not quality.is_checked(warehouse, "files", "core_events", Config())  # the record counts what is refused


def test_failures_name_expectation_column_and_count(warehouse: Settings) -> None:
    rows = [event(n) for n in range(8)] + [event(7, rating=-3.0), event(9, user_id=None), event(10, event_type="stare")]
    commit(warehouse, "core_events", rows)
    with pytest.raises(PermanentError) as error:
        quality.check_table(warehouse, "files", "core_events", Config())
    message = str(error.value)
    assert "core_events of files: 4 of 14 expectations failed" in message
    assert "expect_column_values_to_be_unique(event_id): 2 rows do not hold" in message
    assert "expect_column_values_to_not_be_null(user_id): 1 rows do not hold" in message
    assert re.search(r"expect_column_values_to_be_between\(rating, min_value 0.*max_value 10.*\): 1 rows do not hold", message)
    assert "expect_column_values_to_be_in_set(event_type," in message
    assert str(datadocs.index_page(warehouse)) in message
    assert not quality.read_checks(warehouse, "files", "core_events").success
    assert not quality.is_checked(warehouse, "files", "core_events", Config())


def test_stale_or_future_events_fail(warehouse: Settings) -> None:
    commit(warehouse, "core_events", [event(1)])
    quality.check_table(warehouse, "files", "core_events", Config(max_event_age_days=2))
    commit(warehouse, "core_events", [event(1, event_at=DAY - timedelta(days=3))])
    with pytest.raises(PermanentError, match=r"expect_column_max_to_be_between\(event_at.*found 2026-01-02"):
        quality.check_table(warehouse, "files", "core_events", Config(max_event_age_days=2))
    commit(warehouse, "core_events", [event(1, event_at=DAY + timedelta(days=2))])
    with pytest.raises(PermanentError, match=r"expect_column_max_to_be_between\(event_at.*found 2026-01-07"):
        quality.check_table(warehouse, "files", "core_events", Config())


def test_a_catalogue_that_loses_half_its_rows_fails(warehouse: Settings) -> None:
    commit(warehouse, "core_items", [item(n) for n in range(10)])
    quality.check_table(warehouse, "files", "core_items", Config())
    commit(warehouse, "core_items", [item(n, title=None) for n in range(4)])
    with pytest.raises(PermanentError) as error:
        quality.check_table(warehouse, "files", "core_items", Config())
    assert "1 of 11 expectations failed: expect_table_row_count_to_be_between(table, min_value 5" in str(error.value)


def test_a_large_table_is_sampled(warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MAX_ROWS", 10)
    commit(warehouse, "core_items", [item(n) for n in range(25)])
    checks = quality.check_table(warehouse, "files", "core_items", Config())
    assert (checks.rows, checks.checked_rows) == (25, 9)


def test_data_docs_list_all_tables_and_need_no_network(warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "KEEP_RESULTS", 1)
    commit(warehouse, "core_items", [item(1)])
    commit(warehouse, "core_users", [{"user_id": "u1", "age_years": 500, "opted_out": False, "standing": "listed"}])
    for _ in range(2):
        quality.check_table(warehouse, "files", "core_items", Config())
    with pytest.raises(PermanentError):
        quality.check_table(warehouse, "files", "core_users", Config())
    index = datadocs.index_page(warehouse).read_text()
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', index)
    assert [name for _, name in links] == ["files-core_users", "files-core_items"]
    assert "failed" in index
    assert "holds" in index
    pages = [warehouse.data_docs / link for link, _ in links]
    assert all(page.exists() for page in pages)
    for page in warehouse.data_docs.rglob("*.html"):
        assert not re.search(r"(src|href)=\"https?://[^\"]*\.(js|css|png)|url\('https?:", page.read_text()), page
        style = re.search(r'<link rel="stylesheet" href="([^"]*datadocs.css)">', page.read_text())
        assert style
        assert (page.parent / style[1]).resolve().exists()


def test_three_tasks_may_check_at_once(warehouse: Settings) -> None:
    commit(warehouse, "core_items", [item(1)])
    commit(warehouse, "core_users", [{"user_id": "u1", "opted_out": False, "standing": "listed"}])
    commit(warehouse, "core_events", [event(1)])
    names = ("core_items", "core_users", "core_events")
    command = [sys.executable, "-m", "jobs.check_table", "--source", "files", "--table"]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda name: subprocess.run([*command, name], capture_output=True, text=True, check=False), names))
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr[-500:] for one in done]
    assert datadocs.index_page(warehouse).read_text().count("holds") == 3

"""A delivery of files that goes through land and clean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import Config
from hybridrec.base.settings import Settings
from hybridrec.ingest import landing, quality
from hybridrec.ingest.findings import Findings, read_findings
from hybridrec.sources import files
from hybridrec.storage import store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LANDED_AT = datetime(2026, 2, 1, 12, tzinfo=UTC)
CONFIG = replace(Config(), max_events_per_day=5)
ITEMS = "item_id,title,categories,price\ni1,One,a|b,3.5\ni2,Two,,\ni3,Three,c,0\n"
COLUMNS = ("event_id", "user_id", "item_id", "event_type", "event_at", "rating", "position")


@dataclass
class Delivery:
    """A folder of files and the warehouse that they are ingested into. clean_items: a home whose warehouse has the table of ITEMS."""

    folder: Path
    settings: Settings
    session: SparkSession
    config: Config
    clean_items: Settings | None = None

    def events(self, *rows: str, name: str = "events.csv") -> None:
        """Replace the delivered events by CSV rows of COLUMNS."""
        self.file(name, ",".join(COLUMNS), *rows)

    def file(self, name: str, *rows: str) -> None:
        """Deliver a CSV file as it is, in place of one of that name."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(rows) + "\n")

    def remove(self, *names: str) -> None:
        """Take files out of the delivery."""
        for name in names:
            (self.folder / name).unlink()

    def clean(self, *tables: str, landed_at: datetime = LANDED_AT) -> None:
        """Land what is in the folder and clean the named tables; without a name the events, and before them the other tables delivered.

        As in the DAG, tables before the last are left if nothing of theirs has changed. The result is accepted as if its check had passed,
        which takes seconds.
        """
        from hybridrec.ingest.clean import CORE_TABLES, clean_table, is_clean

        landed = landing.land(self.settings, "files", 1, landed_at)
        if not tables:
            self._take_clean_items(landed)
        names = tables or tuple(name for name in CORE_TABLES if landed.files(name.removeprefix("core_")))
        for name in names:
            if name == names[-1] or not is_clean(self.settings, "files", name, self.config):
                clean_table(self.session, self.settings, "files", name, self.config)
                quality.accept_checked(self.settings, "files", name)

    def _take_clean_items(self, landed: landing.Landing) -> None:
        """Take the table of ITEMS from where it has been made once, if ITEMS are delivered for the first time."""
        if self.clean_items is None or store.is_committed(self.dataset("core_items")) or self.config != CONFIG:
            return
        if landed.content["items"] == landing.read_landing(self.clean_items, "files").content["items"]:
            for part in ("", "quarantine_", "findings_"):
                name = f"{part}core_items"
                shutil.copytree(self.clean_items.warehouse("files") / name, self.dataset(name))

    def ingest(self, *tables: str, landed_at: datetime = LANDED_AT, accept_shrink: bool = False) -> None:
        """Land, clean and check tables in their order, as the DAG does."""
        from hybridrec.ingest.clean import CORE_TABLES, clean_table

        landing.land(self.settings, "files", 1, landed_at)
        for name in tables or CORE_TABLES:
            clean_table(self.session, self.settings, "files", name, self.config)
            quality.check_table(self.settings, "files", name, self.config, accept_shrink)

    def found(self, name: str = "core_events") -> Findings:
        """Return the findings of the last delivery of a table."""
        return read_findings(self.settings.warehouse("files"), name)

    def rows(self, name: str) -> list[dict[str, object]]:
        """Return the committed rows of a table, as any reader of a run gets them."""
        paths = [str(path) for path in store.committed_files(self.dataset(name))]
        table = pq.ParquetDataset(paths, schema=pq.read_schema(paths[0]), partitioning=None).read()
        rows: list[dict[str, object]] = table.to_pylist()
        return rows

    def refused(self, name: str = "core_events") -> dict[str, str]:
        """Return the reason by the raw row's event_id, or its key."""
        found = [(json.loads(str(row["row"])), str(row["reason"])) for row in self.rows(f"quarantine_{name}")]
        return {row.get("event_id") or row.get("item_id") or row.get("user_id"): reason for row, reason in found}

    def dataset(self, name: str) -> Path:
        """Return the folder of a table."""
        return self.settings.warehouse("files") / name

    def manifest(self, name: str = "core_events") -> store.Manifest:
        """Return the committed state of a table."""
        return store.read_manifest(self.dataset(name))


@pytest.fixture(scope="session")
def clean_items(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Settings:
    """Provide a home whose warehouse has the table of ITEMS, made once."""
    home, folder = tmp_path_factory.mktemp("clean_items"), tmp_path_factory.mktemp("items")
    (folder / "items.csv").write_text(ITEMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(home))
        patch.setenv(files.FOLDER_VARIABLE, str(folder))
        found = Delivery(folder, Settings.from_env(), spark, CONFIG)
        found.events("e1,u1,i1,view,2026-01-01T10:00:00Z,,")
        found.clean("core_items")
    return found.settings


@pytest.fixture
def delivery(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession, clean_items: Settings) -> Iterator[Delivery]:
    """Provide items i1 to i3 and one good event."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(folder))
    (folder / "items.csv").write_text(ITEMS)
    found = Delivery(folder, Settings.from_env(), spark, CONFIG, clean_items)
    found.events("e1,u1,i1,view,2026-01-01T10:00:00Z,,")
    yield found
    spark.catalog.clearCache()

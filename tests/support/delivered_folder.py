"""A delivered folder, and what lands of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.sources import SOURCE_FILE, files

HEADER = "user_id,item_id,event_type,event_at\n"
ROW = "u1,i1,view,2026-01-01T10:00:00Z\n"
Rows = list[dict[str, object]]


@pytest.fixture
def delivery(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the user's folder with one good events.csv."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(folder))
    (folder / "events.csv").write_text(HEADER + ROW)
    return folder


def land(tmp_path: Path) -> dict[str, Rows]:
    """Land the delivery and return its rows by part, without the names of the files."""
    return {part: [{k: v for k, v in row.items() if k != SOURCE_FILE} for row in rows] for part, rows in land_with_names(tmp_path).items()}


def land_with_names(tmp_path: Path) -> dict[str, Rows]:
    """Land the delivery and return its rows by part."""
    folder = tmp_path / "landed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files.land(Settings.from_env(), folder, seed=1)
    return {
        part.name: [row for path in sorted(part.glob("*.parquet")) for row in pq.read_table(path).to_pylist()] for part in folder.iterdir()
    }


def refusal(tmp_path: Path) -> str:
    """Return the sentence with which a delivery is refused."""
    with pytest.raises(PermanentError) as error:
        land(tmp_path)
    return str(error.value)


def items(tmp_path: Path, delivery: Path, content: str | bytes, name: str = "items.csv") -> Rows:
    """Return what lands of a file of items."""
    path = delivery / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return land(tmp_path)["items"]


def titles(rows: Rows) -> list[object]:
    return [row["title"] for row in rows]

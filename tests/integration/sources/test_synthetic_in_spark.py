"""Spark writes the same shop as one process."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.settings import Settings
from hybridrec.sources import synthetic


def land(folder: Path, seed: int) -> dict[str, pa.Table]:
    synthetic.land(Settings.from_env(), folder, seed)
    return {part: pq.read_table(folder / part) for part in ("events", "items", "users")}


def test_spark_writes_the_same_bytes(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hybridrec.toml").write_text("[sources.synthetic]\nn_days = 4\nn_events = 9_000\n")
    monkeypatch.setattr(synthetic, "PART_EVENTS", 1_000)
    land(tmp_path / "raw", seed=1)
    monkeypatch.setattr(synthetic, "SPARK_FROM_EVENTS", 0)
    land(tmp_path / "by_spark", seed=1)
    names = sorted(path.relative_to(tmp_path / "raw") for path in (tmp_path / "raw").rglob("*.parquet"))
    assert len(names) == 14
    assert all((tmp_path / "raw" / name).read_bytes() == (tmp_path / "by_spark" / name).read_bytes() for name in names)

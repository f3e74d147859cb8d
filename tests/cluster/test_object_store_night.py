"""A night whose tables lie on an object store leaves the tables of a night in a folder, whichever machine runs a job."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import small_night
from night import nightly

from hybridrec import store
from hybridrec_airflow.steps import Step

pytestmark = pytest.mark.cluster


def test_every_table_is_that_of_a_folder(alone: Path, object_storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("HYBRIDREC_STORAGE")
        in_folder = small_night.hashes(alone)
    home = tmp_path / "machine"
    on_store = small_night.run(home, run_elsewhere, monkeypatch, left_out={"stop_spark"})
    assert len(in_folder) == 30
    assert on_store == in_folder
    assert_readable_elsewhere(tmp_path / "other", on_store, monkeypatch)
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    assert [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def run_elsewhere(step: Step, home: Path) -> int:
    """Run a job on a machine that has no copy of anything."""
    for name in ("runs", "warehouse"):
        shutil.rmtree(home / name, ignore_errors=True)
    return nightly.run(step, home)


def assert_readable_elsewhere(home: Path, hashes: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Another machine gets all files of the run's tables, and they have the content that their manifests promise."""
    patch.setenv("HYBRIDREC_HOME", str(home))
    for place in [place for place in hashes if place.startswith("runs/")]:
        files = store.committed_files(home / place)
        found = hashlib.sha256("".join(map(store.hash_parquet, files)).encode())
        assert found.hexdigest() == hashes[place]

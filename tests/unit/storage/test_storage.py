"""Properties of an object store only: writers that are killed at any byte, copies on this disk, addresses, secrets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.storage import shared_files, store
from tests.support import object_store


def text(word: str) -> str:
    """Return some hundred kilobytes, so that a file is more than one packet."""
    return f"{word}, and again " * 10_000


def write(folder: Path, word: str) -> None:
    with store.staged(folder) as attempt:
        (attempt / "a.txt").write_text(text(word))
        (attempt / "b.txt").write_text(text(word))


def test_what_is_committed_is_copied_once_and_manifests_are_read_anew(home: Path, object_storage: str) -> None:
    folder = home / "runs" / "night" / "x"
    write(folder, "first")
    shutil.rmtree(home)
    first = store.committed_files(folder)
    assert not (folder / store.MANIFEST).exists()
    copied = [path.stat().st_mtime_ns for path in store.committed_files(folder, ".txt")]
    assert copied == [path.stat().st_mtime_ns for path in store.committed_files(folder, ".txt")]
    os.environ["HYBRIDREC_HOME"] = str(home.parent / "another machine")  # the fixture `home` puts it back
    write(home.parent / "another machine" / "runs" / "night" / "x", "second")
    os.environ["HYBRIDREC_HOME"] = str(home)
    assert store.committed_files(folder, ".txt") != first
    assert {path.read_text() for path in store.committed_files(folder, ".txt")} == {text("second")}


def test_only_what_is_shared_lies_at_the_address(home: Path, object_storage: str) -> None:
    for name in ("runs/night/run.json", "warehouse/s/tasks/land_source.json", "tuned/s/x.json", "spark/night.json"):
        shared_files.write_text(home / name, "{}")
    with store.staged(home / "published" / "x") as attempt:
        (attempt / "a.txt").write_text("local")
    assert object_store.objects(object_storage) == ["runs/night/run.json", "tuned/s/x.json", "warehouse/s/tasks/land_source.json"]
    assert (home / "spark" / "night.json").exists() and store.is_committed(home / "published" / "x")
    assert shared_files.children(home / "runs") == ["night"]


def test_a_worker_gets_the_folder_of_an_attempt_that_it_was_told_of(home: Path, object_storage: str) -> None:
    write(home / "runs" / "night" / "x", "first")
    attempt = store.committed_folder(home / "runs" / "night" / "x")
    shutil.rmtree(home)
    assert [path.name for path in sorted(shared_files.fetch_folder(attempt).iterdir())] == ["a.txt", "b.txt"]


def test_what_spark_wrote_at_the_address_is_taken_to_this_disk(home: Path, object_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = store.new_attempt(home / "runs" / "night" / "x")
    assert shared_files.spark_path(attempt) == str(attempt)
    monkeypatch.setenv(shared_files.SUBMITTED, "1")
    assert shared_files.spark_path(attempt) == f"s3a://{object_storage.removeprefix('s3://')}/runs/night/x/{attempt.name}"
    assert shared_files.spark_path(home / "spark" / "x") == str(home / "spark" / "x")
    for name in ("part-0.parquet", "day=2026-01-31/part-0.parquet", "_temporary/0/part-0.parquet", "_SUCCESS"):
        shared_files.write_text(attempt / name, "rows")
    shared_files.take_from_spark(attempt)
    assert object_store.objects(object_storage) == []
    assert store.files_below(attempt.parent, attempt) == (f"{attempt.name}/day=2026-01-31/part-0.parquet", f"{attempt.name}/part-0.parquet")


def test_storage_may_be_a_folder_that_machines_share(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_STORAGE", str(tmp_path / "shared"))
    settings = Settings.from_env()
    assert settings.runs == tmp_path / "shared" / "runs"
    assert settings.warehouse("s") == tmp_path / "shared" / "warehouse" / "s"
    assert settings.published == home / "published"


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "https://host/bucket", "s3://bucket/../x y", "s3://key:secret@bucket/x"])
def test_an_address_that_is_none_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HYBRIDREC_STORAGE", address)
    with pytest.raises(PermanentError, match="expected a folder or an address as s3://bucket/prefix"):
        store.is_committed(home / "runs" / "night" / "x")


def test_a_store_that_refuses_us_says_so_and_names_no_secret(home: Path, object_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-secret")
    shared_files._connected.cache_clear()
    with pytest.raises(OSError, match=r"ACCESS_DENIED|SIGNATURE") as refused:
        write(home / "runs" / "night" / "x", "first")
    shared_files._connected.cache_clear()
    assert "wrong-and-secret" not in str(refused.value)

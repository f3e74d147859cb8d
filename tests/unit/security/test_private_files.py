"""Files below the home folder are for its owner only, whichever process made them; an option opens published tables to others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.private_files import keep_private, make_private_folder, require_own, tighten, write_private
from hybridrec.base.settings import Settings
from hybridrec.targets.sqlite import connect
from tests.support import ROOT
from tests.support.published_rows import publish

AS_BEFORE = 0o022
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture(autouse=True)
def open_by_default() -> Iterator[None]:
    """Set the usual rights of new files, and restore those of before at the end."""
    before = os.umask(AS_BEFORE)
    yield
    os.umask(before)


def rights(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):o}"


def test_new_files_are_private_and_an_old_home_is_closed(home: Path) -> None:
    (home / "runs" / "night-1").mkdir(parents=True)
    (old := home / "runs" / "night-1" / "run.json").write_text("{}")
    (options := home / "hybridrec.toml").write_text("")
    assert rights(home) == "755"
    keep_private(Settings.from_env())
    (home / "runs" / "night-2").mkdir()
    (new := home / "runs" / "night-2" / "run.json").write_text("{}")
    assert [rights(path) for path in (home, home / "runs", options, new.parent, new)] == ["700", "700", "600", "700", "600"]
    assert tighten(Settings.from_env()) == 2
    assert [rights(path) for path in (old.parent, old)] == ["700", "600"]


def test_a_job_by_hand_keeps_its_home_private(home: Path) -> None:
    (home / "runs").mkdir()
    command = [sys.executable, "-m", "jobs.lookup", "--user-id", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "nothing has been published yet" in done.stderr
    assert (rights(home), rights(home / "runs")) == ("700", "700")


def test_published_tables_are_for_others_if_the_option_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_PUBLISHED_READABLE", "on")
    (home / "runs").mkdir()
    keep_private(Settings.from_env())
    target = connect(Settings.from_env())
    publish(target, "v1", "one")
    assert len(list(target.read_live("recommendations"))) == 1  # while it reads, the logs are there
    files = {path.name: rights(path) for path in home.glob("published/recommendations.db*")}
    target.close()
    assert files == dict.fromkeys(("recommendations.db", "recommendations.db-shm", "recommendations.db-wal"), "644")
    assert [rights(path) for path in (home, home / "published", home / "runs")] == ["711", "755", "700"]
    monkeypatch.delenv("HYBRIDREC_PUBLISHED_READABLE")
    keep_private(Settings.from_env())
    assert [rights(path) for path in (home, home / "published")] == ["711", "755"], "a job by hand shuts no service out"
    monkeypatch.setenv("HYBRIDREC_PUBLISHED_READABLE", "off")
    keep_private(Settings.from_env())
    assert [rights(path) for path in (home, home / "published")] == ["700", "700"]
    assert rights(home / "published" / "recommendations.db") == "644", "hidden by its folder; made private by the next `make ui`"
    tighten(Settings.from_env())
    assert rights(home / "published" / "recommendations.db") == "600"


def test_tables_of_an_earlier_version_are_closed(home: Path) -> None:
    (home / "published").mkdir()
    keep_private(Settings.from_env())
    assert [rights(path) for path in (home, home / "published")] == ["700", "700"]


def test_tables_that_are_there_become_readable_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_private(Settings.from_env())
    target = connect(Settings.from_env())
    publish(target, "v1", "one")
    target.close()
    assert rights(target.path) == "600"
    monkeypatch.setenv("HYBRIDREC_PUBLISHED_READABLE", "on")
    keep_private(Settings.from_env())
    assert rights(target.path) == "644"


def test_what_is_not_ours_to_close_stays_as_it_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (outside := tmp_path / "outside").mkdir()
    (home / "link").symlink_to(outside)
    keep_private(Settings.from_env())
    tighten(Settings.from_env())
    assert rights(outside) == "755"
    (shared := tmp_path / "tmp").mkdir()
    shared.chmod(0o1777)
    make_private_folder(shared / "of_others", 0o755)
    monkeypatch.setenv("HYBRIDREC_HOME", str(shared))  # as the look-up's container has it, which writes nothing
    keep_private(Settings.from_env())
    tighten(Settings.from_env())
    assert (rights(shared), rights(shared / "of_others")) == ("1777", "755")


@only_root
def test_a_home_of_somebody_else_is_read_and_not_changed(home: Path) -> None:
    (home / "runs").mkdir()
    for path in (home, home / "runs"):
        os.chown(path, 65534, 65534)
    keep_private(Settings.from_env())
    assert (rights(home), rights(home / "runs")) == ("755", "755")


def test_a_secret_is_private_from_its_first_byte(home: Path) -> None:
    path = home / "deep" / "token.json"
    write_private(path, "one")
    write_private(path, "two")
    assert (path.read_text(), rights(path)) == ("two", "600")
    assert [found.name for found in path.parent.iterdir()] == ["token.json"]


def test_a_database_server_of_another_user_can_pass_to_its_folder(home: Path) -> None:
    """`make cluster`: PostgreSQL refuses to run as root, and its folder lies below the home."""
    make_private_folder(home / "cluster", 0o711)
    (home / "runs").mkdir()
    keep_private(Settings.from_env())
    assert [rights(path) for path in (home, home / "cluster", home / "runs")] == ["711", "711", "700"]


@only_root
def test_a_home_of_another_user_is_refused(tmp_path: Path) -> None:
    require_own(tmp_path / "none yet")
    require_own(tmp_path)
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(PermanentError, match=f"{tmp_path} belongs to another user, who could read and replace what is in it"):
        require_own(tmp_path)

"""An extension is one file, found by its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.execution import job
from jobs import open_run


def test_names_are_the_files(home: Path) -> None:
    assert "core_events" in extensions.names("tables")
    assert all(extensions.module("tables", name).TABLE.name == name for name in extensions.names("tables"))


def test_a_file_in_a_folder_is_an_extension(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "toy_rule.py").write_text('"""Toy."""\nKIND = "toy"\n')
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path))
    assert "toy_rule" in extensions.names("rules")
    assert extensions.module("rules", "toy_rule").KIND == "toy"


def test_a_member_can_be_switched_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SKIP", "tables.core_users")
    assert "core_users" not in extensions.names("tables")
    with pytest.raises(PermanentError, match=r"there is no 'core_users'; choose from .*core_events"):
        extensions.module("tables", "core_users")


def test_a_worker_of_another_environment_finds_the_extensions_of_the_job(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "toy_rule.py").touch()
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path))
    monkeypatch.setenv("HYBRIDREC_SKIP", "rules.seen")
    of_worker = extensions.with_local_extensions(lambda batches: (name for _ in batches for name in extensions.names("rules")))
    expected = extensions.names("rules")
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", "")
    monkeypatch.setenv("HYBRIDREC_SKIP", "")
    assert extensions.names("rules") != expected
    assert tuple(of_worker(iter(["a batch"]))) == expected


@pytest.mark.parametrize(
    ("skip", "said"),
    [
        ("models.twotower", r"HYBRIDREC_SKIP: there is no 'models.twotower'; did you mean models.two_tower\? choose from models.als, "),
        ("rules.mmr, model.als", r"HYBRIDREC_SKIP: 'model.als' names no extension folder, .*did you mean models\? choose from bandits, "),
        ("als", r"HYBRIDREC_SKIP: 'als' names no extension folder"),
    ],
)
def test_every_job_refuses_to_skip_what_there_is_not(
    skip: str, said: str, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYBRIDREC_SKIP", skip)
    assert job._run(open_run.main, open_run.Params("n", "files"), "open_run") == job.EXIT_PERMANENT  # type: ignore[attr-defined]
    assert re.search(said, capfd.readouterr().err)
    assert not (home / "runs").exists()


def test_blanks_in_the_list_of_what_is_skipped_do_no_harm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SKIP", "models.two_tower, rules.mmr,")
    extensions.require_known_skips()
    assert "mmr" not in extensions.names("rules")

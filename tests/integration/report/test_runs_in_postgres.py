"""The list of runs asks PostgreSQL in the same way."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from hybridrec.base.settings import Settings
from hybridrec.report.pages.run_list import list_runs
from hybridrec.serving.lookup import open_target
from tests.support.database import READER
from tests.support.runs_of_every_kind import EVERY_KIND, NOW, fill, states


def test_postgresql_is_asked_in_the_same_way(home: Path, postgres_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_TARGET", "postgres")
    monkeypatch.setenv("HYBRIDREC_POSTGRES", postgres_address)
    monkeypatch.setenv("HYBRIDREC_POSTGRES_READER", READER)
    assert list_runs(Settings.from_env(), NOW).live == ""
    with closing(open_target(Settings.from_env())) as target:
        fill(home, target)
    found = list_runs(Settings.from_env(), NOW)
    assert states(found) == EVERY_KIND and found.live.startswith("version v3 of run newest")
    monkeypatch.setenv("HYBRIDREC_POSTGRES", "postgresql://publisher:planted-secret@127.0.0.1:1/recommendations")
    problem = list_runs(Settings.from_env(), NOW).problem
    assert "127.0.0.1:1/recommendations" in problem and "planted" not in problem

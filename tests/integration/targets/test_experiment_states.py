"""States of experiments in every target: changed in one transaction, never rewritten, read by a look-up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.versions.experiment_states import KeepsExperiments, StateChange
from hybridrec.versions.publications import Target
from tests.support.made_experiments import AT, keeper, moved
from tests.support.published_rows import publish

NEEDS_A_SERVER = {"postgres": "postgres_address"}


@pytest.fixture(params=("sqlite", "postgres"))
def target(request: pytest.FixtureRequest, home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    if request.param in NEEDS_A_SERVER:
        monkeypatch.setenv("HYBRIDREC_POSTGRES", request.getfixturevalue(NEEDS_A_SERVER[request.param]))
    found: Target = extensions.module("targets", request.param).connect(Settings.from_env())
    yield found
    found.close()


@pytest.fixture
def kept(target: Target) -> KeepsExperiments:
    return keeper(target)


def test_without_experiments_there_are_none(kept: KeepsExperiments) -> None:
    assert kept.experiments() == [] and kept.experiment_log() == []
    assert not kept.went_back("no_mmr")


def test_a_state_and_its_line_in_the_log_go_together(kept: KeepsExperiments) -> None:
    now = moved(kept, "no_mmr", "canary", "running", "decided")
    moved(kept, "other", "running")
    assert kept.experiments() == [now, replace(now, experiment="other", state="running", winner="")]
    assert [(line.former, line.state, line.who) for line in kept.experiment_log("no_mmr")] == [
        ("draft", "canary", "ann"),
        ("canary", "running", "ann"),
        ("running", "decided", "ann"),
    ]
    assert len(kept.experiment_log()) == 4


@pytest.mark.parametrize(
    ("former", "state", "reason", "message"),
    [
        ("canary", "back", "why", "is running by now, not canary"),
        ("running", "canary", "why", "is running: it cannot become canary, expected decided, back"),
        ("running", "back", " ", "say in 1 to 300 characters why"),
    ],
)
def test_a_change_that_may_not_be_leaves_state_and_log(kept: KeepsExperiments, former: str, state: str, reason: str, message: str) -> None:
    now = moved(kept, "no_mmr", "running")
    before = kept.experiment_log()
    change = StateChange("no_mmr", AT, "bob", former, state, reason)  # type: ignore[arg-type]
    with pytest.raises(PermanentError, match=message):
        kept.change_experiment(replace(now, state=state), change)  # type: ignore[arg-type]
    assert kept.experiments() == [now] and kept.experiment_log() == before


def test_nothing_follows_back(kept: KeepsExperiments) -> None:
    moved(kept, "no_mmr", "canary", "back")
    with pytest.raises(PermanentError, match="start a new experiment under another name"):
        moved(kept, "no_mmr", "running")


def test_back_is_seen_by_the_next_look_up_of_another_connection(target: Target, kept: KeepsExperiments) -> None:
    publish(target, "v1", "one")
    moved(kept, "no_mmr", "canary")
    readers = extensions.module("targets", "sqlite" if "Sqlite" in type(target).__name__ else "postgres").connect(Settings.from_env())
    assert readers.read_user("u00001") is not None and not readers.went_back("no_mmr")
    moved(kept, "no_mmr", "back")
    assert readers.went_back("no_mmr") and not readers.went_back("other")
    readers.close()


def test_of_two_changes_at_once_one_is_refused(kept: KeepsExperiments) -> None:
    now = moved(kept, "no_mmr", "running")
    refused: list[str] = []

    def decide(state: str) -> None:
        try:
            change = StateChange("no_mmr", AT, "ann", "running", state, "at once")  # type: ignore[arg-type]
            kept.change_experiment(replace(now, state=state), change)  # type: ignore[arg-type]
        except PermanentError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=decide, args=(state,)) for state in ("decided", "back")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert len(kept.experiment_log()) == 2


def test_the_log_is_only_added_to(target: Target, kept: KeepsExperiments) -> None:
    moved(kept, "no_mmr", "running")
    before = kept.experiment_log()
    with target._writer() as db:  # type: ignore[attr-defined]
        table = "experiment_log" if "Sqlite" in type(target).__name__ else "hybridrec.experiment_log"
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET who = 'bob'"):
            try:
                db.execute(statement)
            except Exception as error:
                assert "only added to" in str(error)
    assert kept.experiment_log() == before

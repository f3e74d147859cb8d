"""The report of a night that failed or was held."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import pytest

from hybridrec.execution.task_records import TaskRecord
from hybridrec.publishing.publish import note_held
from hybridrec.report.pages.page import render
from hybridrec.runs.run import Run
from hybridrec.storage import store
from tests.support import finished_night
from tests.support.finished_night import collect, publish, said


class Task(NamedTuple):
    """A task's record: what it ran, how it ended, what it said."""

    job: str
    part: str
    state: str
    said: str = ""


PAGE = "/dags/nightly_retrain/runs/manual__1%3A2/tasks/"


def records(run: Run, *tasks: Task) -> None:
    """Leave the tasks' records, in the order of their start."""
    for n, task in enumerate(tasks):
        record = TaskRecord(task.job, task.part, task.state, task.said, PAGE + task.job, started_at=1.0 + n)
        store.write_json(run.folder / "tasks" / f"{task.job}.{task.part}.json", asdict(record))


def test_a_failed_night_begins_with_its_first_failing_task(small_run: Run) -> None:
    finished_night.finish(small_run, ("pool",))
    records(
        small_run,
        Task("train_model", "two_tower.ranker", "failed", "out of luck"),
        Task("generate_candidates", "ranker", "done"),
        Task("train_ranker", "", "bad_data", "PermanentError in train_ranker: <no> label"),
        Task("stop_of_its_own", "", "failed", "later"),
    )
    facts = collect(small_run)
    assert facts.outcome == "failed"
    assert facts.failure and (facts.failure.task, facts.failure.others) == ("train_ranker", ("stop_of_its_own",))
    page = render(facts)
    at = [
        page.index(text)
        for text in ("This night failed in train_ranker", "PermanentError in train_ranker: &lt;no&gt; label", "The night stopped before")
    ]
    assert at == sorted(at) and at[0] < page.index("<nav>")
    assert f'<a href="{PAGE}train_ranker">' in page
    assert "Task train_ranker" not in said(facts) and "Task train_model two_tower ranker failed" in said(facts)


def test_a_held_night_has_not_failed_and_says_who_holds_it(night: Run) -> None:
    note_held(night, "publications are held: ada held publications on 2026-04-11 at 05:00 UTC: too many shoes")
    facts = collect(night)
    assert (facts.outcome, facts.failure) == ("held", None)
    assert "were made and not published. Publications are held: ada held publications on 2026-04-11" in facts.headline
    assert "This night failed" not in render(facts)
    records(night, Task("publish_table", "", "failed", "disk full"))  # cleared after the hold was lifted
    assert collect(night).outcome == "failed"
    records(night, Task("publish_table", "", "done"))
    publish(night, "v1", "one", run_id="small")
    assert collect(night).outcome == "published"


def test_a_published_night_that_fails_when_cleared_says_both(night: Run) -> None:
    publish(night, "v1", "one", run_id="small")
    records(night, Task("ablate_sources", "", "failed", "a study"), Task("check_output", "", "bad_data", "concentration"))
    facts = collect(night)
    assert (facts.outcome, facts.failure and facts.failure.task) == ("failed", "check_output")
    assert "were published at 2026-04-11 00:00 UTC as version v1." in facts.headline


@pytest.mark.parametrize(
    ("tasks", "failed_in", "told"),
    [
        (
            [Task("train_model", "als.ranker", "failed", "no"), Task("generate_candidates", "ranker", "bad_data", "needs als")],
            "train_model als ranker",
            "no",
        ),
        ([Task("train_ranker", "", "running")], "train_ranker", "left no record of its end: it was killed"),
        (
            [Task("train_model", "als.ranker", "failed", "no"), Task("generate_candidates", "ranker", "done")],
            "",
            "No task has left a record of a failure",
        ),
        ([], "", "It did not run in Airflow"),
    ],
)
def test_what_can_be_known_of_a_failure(small_run: Run, tasks: list[Task], failed_in: str, told: str) -> None:
    finished_night.finish(small_run, ("pool",))
    records(small_run, *tasks)
    facts = collect(small_run)
    assert facts.failure and facts.failure.task == failed_in
    page = render(facts)
    assert told in page[: page.index("<nav>")]
    if tasks:
        assert f'<a href="{PAGE.removesuffix("/tasks/")}' in page


def test_a_good_night_shows_no_failure(night: Run) -> None:
    publish(night, "v1", "one", run_id="small")
    facts = collect(night)
    assert facts.failure is None and 'id="failure"' not in render(facts)

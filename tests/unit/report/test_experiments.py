"""The report's section of experiments."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta

from hybridrec.experiments.newest import FILE, STATES
from hybridrec.report.pages.page import render, report_json
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.versions.experiment_states import ExperimentState, StateName
from tests.support import made_experiments
from tests.support.finished_night import collect


def with_states(night: Run, *states: ExperimentState) -> Run:
    with night.staged(STATES) as folder:
        (folder / FILE).write_text(store.as_json([asdict(state) for state in states]))
    return night


def state(name: str, is_in: StateName, winner: str = "", hypothesis: str = "Without MMR people click more") -> ExperimentState:
    definition = json.dumps(made_experiments.FILE | {"hypothesis": hypothesis})
    return ExperimentState(name, is_in, definition, made_experiments.AT + timedelta(hours=3), made_experiments.AT, winner)


def test_an_experiment_is_in_the_report_before_it_has_feedback(night: Run) -> None:
    found = [state("small", "canary"), state("large", "running"), state("all", "decided", "no_mmr"), state("over", "back")]
    facts = collect(with_states(night, *found))
    assert [(row.experiment, row.state, row.variants) for row in facts.standing] == [
        ("small", "canary", {"control": 0.5, "no_mmr": 0.05}),
        ("large", "running", {"control": 0.5, "no_mmr": 0.5}),
        ("all", "decided", {"no_mmr": 1.0}),
    ]
    page = render(facts)
    assert '<a href="#experiments">' in page and '<table id="experiment-states">' in page
    assert "<td>large</td><td>running</td><td>2026-11-20 05:00</td><td>control 50" in page
    assert "No list with a variant has led to feedback yet" in page
    assert 'id="experiment-results"' not in page
    assert '"canary"' in report_json(facts)


def test_what_people_write_stays_text(night: Run) -> None:
    page = render(collect(with_states(night, state("small", "running", hypothesis="<script>alert(1)</script> is clicked"))))
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page


def test_a_night_without_experiments_says_nothing_of_them(night: Run) -> None:
    facts = replace(collect(night), experiments=(), standing=())
    assert 'id="experiments"' not in render(facts)

"""The report of a night that tries arms and an objective."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from hybridrec.assignment.buckets import in_layer
from hybridrec.base.trying import Bandit
from hybridrec.exploration.draws import write_draws
from hybridrec.off_policy.estimates import night_estimates
from hybridrec.policy.boost import Boost, write_boost
from hybridrec.report.gathering.warnings import warnings
from hybridrec.report.pages.page import render, report_json
from hybridrec.runs.run import Run
from tests.support import feedback_rows, small_world
from tests.support.finished_night import collect

ARMS = {"people": "item_knn=1", "taste": "content=1", "crowd": "popularity=1"}
CHANCES = {"light": {"people": 0.3, "taste": 0.1, "crowd": 0.1}, "heavy": {"people": 0.1, "taste": 0.1, "crowd": 0.3}}
EVEN = {segment: dict.fromkeys(ARMS, 1 / 3) for segment in CHANCES}


def trying(night: Run, until_days: float = 0.0) -> Run:
    """Return the night with arms that have learnt from draws up to some days before as_of, and an objective."""
    config = replace(night.config, bandit=Bandit(arms=ARMS))
    run = Run(replace(night.manifest, config=config), night.settings)
    until = small_world.AS_OF - timedelta(days=until_days)
    feedback_rows.commit(run, feedback_rows.of_draws(CHANCES, EVEN, 400, 2, seed=3, until=until))
    write_draws(run, ["item_knn", "content", "popularity"], [])
    run.write("out_ope", night_estimates(run))
    tried = [{"strength": 0.1 * n, "worth": 0.2 * n, "difference": -0.001 * n, "low": -0.002 * n, "high": 0.0} for n in range(3)]
    with run.staged("boost") as folder:
        figures = {"objective": "exposure", "metric": "ndcg@10", "max_loss": 0.003, "n_users": 58, "tried": tried}
        write_boost(folder, Boost(0.1, np.zeros(small_world.N_ITEMS, dtype=np.float32)), figures)
    return run


def test_the_page_shows_arms_estimates_and_strengths(night: Run) -> None:
    facts = collect(trying(night))
    assert facts.bandit is not None and facts.objective is not None
    light = {row.arm: row for row in facts.bandit.arms if row.segment == "light"}
    assert light["people"].probability > 0.8
    assert light["crowd"].probability < 0.1
    assert light["people"].blend == "item_knn 1"
    inside = in_layer("bandit", (f"u{user:02d}" for user in range(small_world.N_USERS)))
    assert sum(row.n_users for row in facts.bandit.arms) == inside.sum()
    assert facts.bandit.n_draws == 1_600
    assert {row.policy for row in facts.bandit.estimates} == {*ARMS, "this_run", "logged"}
    page = render(facts)
    for part in ('<section id="bandit">', '<table id="ope">', "Estimated rewards of other policies", '<table id="strengths">'):
        assert part in page
    assert "exposure" in report_json(facts)
    assert not [notice for notice in warnings(facts) if "bandit" in str(notice)]


def test_a_night_that_tries_nothing_says_nothing_of_it(night: Run) -> None:
    page = render(collect(night))
    assert 'id="bandit"' not in page and 'id="objective"' not in page


@pytest.mark.parametrize(("days", "told"), [(0.0, False), (5.0, True)])
def test_a_bandit_that_learns_nothing_new_is_a_warning(days: float, told: bool, night: Run) -> None:
    facts = collect(trying(night, days))
    assert any("The newest draw that the bandit has learnt from is old" in str(notice) for notice in warnings(facts)) == told

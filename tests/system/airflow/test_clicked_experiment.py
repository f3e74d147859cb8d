"""An experiment that a person starts, watches and ends by clicks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hybridrec.assignment.buckets import arms_of
from hybridrec.assignment.variants import RunningExperiment, Variant
from hybridrec.serving import lookup
from hybridrec.targets.sqlite import SqliteTarget
from tests.support.browser import Browser
from tests.support.scheduler import QUICK_MODELS

if TYPE_CHECKING:
    from tests.support.scheduler import Stack

SHORT = 3
FILE = """
hypothesis = "A shorter list is read to its end"
outcome = "reward"
minimum_effect = 0.05
horizon_days = 14
start = {today}
[variants.control]
share = 0.5
[variants.shorter]
share = 0.5
k = {k}
"""


@pytest.fixture(scope="module")
def started(stack: Stack, first_night: str, browser: Browser) -> str:
    """Run id of the night that has made the lists of an experiment; the experiment and the night were started by forms."""
    folder = stack.installation.settings.home / "experiments"
    folder.mkdir(exist_ok=True)
    (folder / "shorter.toml").write_text(FILE.format(today=datetime.now(UTC).date(), k=SHORT))
    act = browser.start("start_experiment", {"phase": "Running"}, experiment="shorter", reason="the design review said so")
    assert stack.wait_for("start_experiment", act) == "success", stack.failures("start_experiment", act)
    night = browser.start_night(source="movielens_100k", models=QUICK_MODELS, k=7)
    assert stack.wait_for("nightly_retrain", night) == "success", stack.failures("nightly_retrain", night)
    return night


def lists(stack: Stack) -> dict[str, tuple[str | None, str | None, int]]:
    """Return experiment, variant and length of each user's list."""
    rows = stack.published("select user_id, experiment, variant, json_array_length(item_ids) from recommendations")
    return {user: tuple(rest) for user, *rest in rows}


def test_the_users_of_the_variant_get_it(stack: Stack, started: str) -> None:
    variants = (Variant("control", 0.5), Variant("shorter", 0.5, k=SHORT))
    published = lists(stack)
    arms = arms_of(RunningExperiment("shorter", "shorter", "running", (0.0, 1.0), variants), list(published))
    rows = [("shorter", "control", 7), ("shorter", "shorter", SHORT), (None, None, 7)]
    expected = {user: rows[arm] for user, arm in zip(published, arms, strict=True)}
    assert published == expected
    assert min(Counter(variant for _, variant, _ in published.values()).values()) > 200


def test_the_report_shows_the_state(stack: Stack, started: str, browser: Browser) -> None:
    browser.page.goto(f"{stack.installation.airflow_url}/hybridrec/reports/{stack.file_safe(started)}")
    section = browser.page.locator("#experiments")
    section.scroll_into_view_if_needed()
    browser.picture("experiment")
    assert "shorter" in section.inner_text() and "running" in section.inner_text()


def test_a_decision_without_a_reason_is_refused_before_a_bound_is_crossed(stack: Stack, started: str) -> None:
    run_id = stack.api.trigger("decide_experiment", {"experiment": "shorter", "choice": "all", "variant": "shorter"})
    assert stack.wait_for("decide_experiment", run_id) == "failed"
    assert "reason" in stack.failures("decide_experiment", run_id)
    assert stack.published("select state from experiment_state") == [("running",)]


def test_back_is_in_effect_with_the_next_look_up(stack: Stack, started: str, browser: Browser) -> None:
    user = next(user for user, (_, variant, _) in lists(stack).items() if variant == "shorter")
    target = SqliteTarget(stack.installation.settings.published / "recommendations.db")
    assert (len(lookup.recommend(target, user, 7).entries), lookup.recommend(target, user, 7).variant) == (SHORT, "shorter")
    act = browser.start("decide_experiment", {"choice": "Back"}, experiment="shorter", reason="people asked for more")
    assert stack.wait_for("decide_experiment", act) == "success", stack.failures("decide_experiment", act)
    answer = lookup.recommend(target, user, 7)
    assert (len(answer.entries), answer.experiment, answer.variant) == (7, None, None)
    target.close()
    [line] = stack.published("select state, who, reason from experiment_log where state = 'back'")
    assert line == ("back", "admin", "people asked for more")

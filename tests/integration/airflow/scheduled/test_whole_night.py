"""A night on MovieLens 100K: what it publishes, and that killing any job anywhere changes nothing.

The undisturbed night is one that the real scheduler ran; the disturbed one goes through the same DAG's jobs in order.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_blocks import retrieves
from hybridrec.execution.spark import stop_server
from hybridrec.execution.task_records import read_records
from hybridrec.publishing.interventions import interventions
from hybridrec.publishing.publish import version_of
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec_airflow.steps import steps
from tests.support import nightly
from tests.support.browser import chromium, log_in
from tests.support.killed_night import N_USERS, SAMPLED, kill_points, publish_though_killed
from tests.support.scheduler import NIGHT, Stack

K = 10


def test_every_user_has_a_whole_list_or_a_stated_reason(undisturbed: Run) -> None:
    rows = undisturbed.read("out_recommendations").to_pylist()
    catalogue = undisturbed.read("model_items").to_pandas()
    available = set(catalogue.item_id[catalogue.is_available])
    history = undisturbed.read("model_interactions", "full").to_pandas()
    user_ids = undisturbed.read("model_users").column("user_id").to_pylist()
    seen: dict[str, set[str]] = {user: set() for user in user_ids}
    for user, item in zip(history.user_idx, history.item_idx, strict=True):
        seen[user_ids[user]].add(catalogue.item_id[item])
    assert len(rows) == N_USERS
    assert {row["user_id"] for row in rows} == set(user_ids)
    for row in rows:
        assert len(row["item_ids"]) == K or row["shortfall"]
        assert len(set(row["item_ids"])) == len(row["item_ids"]) == len(row["reasons"]) == len(row["scores"])
        assert set(row["item_ids"]) <= available - seen[row["user_id"]]
        assert all(np.diff(row["scores"]) <= 0)
        assert all(row["reasons"])


def test_the_report_names_popularity_every_source_and_the_stack_with_intervals(undisturbed: Run) -> None:
    metrics = undisturbed.read("out_metrics").to_pandas().query("metric == 'ndcg@10' and segment == 'all'")
    listed = set(zip(metrics.kind, metrics.name, strict=True))
    assert {("source" if retrieves(model) else "scorer", model) for model in undisturbed.manifest.models} <= listed
    assert {("strategy", name) for name in extensions.names("strategies")} <= listed
    assert ((metrics.low <= metrics.value) & (metrics.value <= metrics.high)).all()
    assert (metrics.high > metrics.low).all()
    page = (undisturbed.artefact("report") / "report.html").read_text()
    assert all(name in page for name in (*undisturbed.manifest.models, *extensions.names("strategies")))


def test_personalised_quality_is_real(undisturbed: Run) -> None:
    """The published strategy is not below popularity on the held-out split; a broken join or a shifted id would be."""
    metrics = undisturbed.read("out_metrics").to_pandas().query("metric == 'ndcg@10' and segment == 'all'").set_index("name").value
    assert metrics["stacking"] > metrics["popularity"]


def test_memory_stays_below_its_limit(undisturbed: Run) -> None:
    records = read_records(undisturbed.folder)
    server = json.loads((undisturbed.folder / "spark_server.json").read_text())["peak_mib"]
    heaviest = max(records, key=lambda record: record.peak_mib)
    assert heaviest.peak_mib + server < 4096, f"{heaviest.job} {heaviest.part} {heaviest.peak_mib:.0f} MiB beside Spark's {server:.0f} MiB"


def test_a_table_that_fails_its_checks_is_not_published_until_it_is_mended_and_cleared(
    undisturbed: Run, stack: Stack, first_night: str
) -> None:
    live = stack.published("SELECT version, content_hash, state FROM publications")
    lists = undisturbed.read("out_recommendations")
    everybody_gets = lists.take([0] * len(lists)).set_column(lists.column_names.index("user_id"), "user_id", lists["user_id"])
    undisturbed.write("out_recommendations", everybody_gets)
    stack.api.clear("nightly_retrain", first_night, "check_output")
    assert stack.wait_for("nightly_retrain", first_night) == "failed"
    states = stack.states("nightly_retrain", first_night)
    ended = [states[task] for task in ("check_output", "publish_table", "write_report", "confirm_outcome")]
    assert ended == ["failed", "upstream_failed", "success", "failed"]
    assert "fix it and clear apply_rules" in stack.failures("nightly_retrain", first_night)
    _see_why_it_failed(stack, first_night)
    assert stack.published("SELECT version, content_hash, state FROM publications") == live

    stack.api.clear("nightly_retrain", first_night, "apply_rules")
    assert stack.wait_for("nightly_retrain", first_night) == "success", stack.failures("nightly_retrain", first_night)
    assert undisturbed.read("out_recommendations").equals(lists)
    assert stack.published("SELECT version, content_hash, state FROM publications") == live


def _see_why_it_failed(stack: Stack, night: str) -> None:
    """Check that the failed night's report begins with the task and its message, with a link to the log in Airflow."""
    url, pictures = stack.installation.airflow_url, stack.installation.settings.home / "screenshots"
    with chromium() as program:
        browser = log_in(program, url, "admin", stack.installation.password("admin"), pictures)
        browser.page.goto(f"{url}/hybridrec/reports/{stack.file_safe(night)}")
        browser.picture("failed_night")
        failure = browser.page.locator("#failure")
        assert "This night failed in check_output" in (text := failure.inner_text()) and "concentration is" in text
        failure.get_by_role("link").click()
        browser.page.wait_for_url(f"**/runs/{quote(night, safe='')}/tasks/check_output")
        browser.page.get_by_text("fix it and clear apply_rules").first.wait_for()
        browser.picture("failed_task")


def test_a_night_killed_in_four_tasks_publishes_the_same_table(undisturbed: Run, night_home: Path) -> None:
    points = kill_points(undisturbed.folder)
    sampled = {name: points[name][:1] for name in SAMPLED}
    publish_though_killed(undisturbed, night_home, "killed_4_times", sampled, least=4, on_a_copy=True)


def test_the_same_spark_job_submitted_twice_at_once_leaves_one_result(undisturbed: Run, night_home: Path) -> None:
    (step,) = [step for step in steps("nightly_retrain", undisturbed.run_id, NIGHT) if step.task == "generate_candidates.full"]
    before = store.read_manifest(undisturbed.dataset("model_candidates", "full"))
    both = [nightly.start(step, night_home) for _ in range(2)]
    try:
        assert [process.wait(timeout=nightly.STEP_SECONDS) for process in both] == [0, 0], nightly.tail(step, night_home)
    finally:
        stop_server(Settings.from_env(), step.session)
    after = store.read_manifest(undisturbed.dataset("model_candidates", "full"))
    assert (after.rows, after.content_hash) == (before.rows, before.content_hash)
    assert len({name.split("/")[0] for name in after.files}) == 1


def test_an_earlier_version_goes_live_again(undisturbed: Run, stack: Stack) -> None:
    assert stack.published("SELECT run_id FROM publications WHERE state = 'live'") == [("killed_4_times",)]
    version = version_of(undisturbed.run_id)
    stack.run("rollback_publication", version=version, reason="the disturbed night was only a test")
    assert [(act.kind, act.by, act.version) for act in interventions(undisturbed.settings)] == [("rollback", "admin", version)]
    assert stack.published("SELECT run_id FROM publications WHERE state = 'live'") == [(undisturbed.run_id,)]


def test_a_person_chooses_from_what_is_kept_by_its_figures(undisturbed: Run, stack: Stack) -> None:
    run_id = stack.api.trigger("rollback_publication", {"reason": "it was not worse after all"})
    question = stack.asked("rollback_publication", run_id, "choose_version")
    version = version_of("killed_4_times")
    (option,) = [option for option in question["options"] if option.startswith(f"{version} of ")]
    (row,) = [line for line in question["body"].splitlines() if line.startswith(f"| {version} ")]
    assert f"| {N_USERS} | {K} | ndcg@10 0." in row and "%" in row
    stack.answer("rollback_publication", run_id, "choose_version", option)
    assert stack.wait_for("rollback_publication", run_id) == "success", stack.failures("rollback_publication", run_id)
    assert stack.published("SELECT version FROM publications WHERE state = 'live'") == [(version,)]


def test_lookup_prints_a_known_users_list_and_tells_an_unknown_user(undisturbed: Run, night_home: Path) -> None:
    def look(user: str) -> str:
        return subprocess.run([sys.executable, "-m", "jobs.lookup", "--user-id", user], capture_output=True, text=True, check=True).stdout

    started = time.monotonic()
    known = look("196")
    assert time.monotonic() - started < 20
    assert len([line for line in known.splitlines() if line[:1].isdigit()]) == K
    assert "User nobody is not known" in look("nobody")

"""A night on MovieLens 100K: what it publishes, and that killing any job anywhere changes nothing.

The undisturbed night is one that the real scheduler ran; the disturbed one goes through the same DAG's jobs in order.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from browser import chromium, log_in
from night import nightly
from scheduler import NIGHT, Stack

from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_blocks import retrieves
from hybridrec.execution.spark import running_server, stop_server
from hybridrec.execution.task_records import read_records
from hybridrec.publishing.interventions import interventions
from hybridrec.publishing.publish import version_of
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target
from hybridrec.storage import store
from hybridrec_airflow.steps import steps

pytestmark = pytest.mark.slow
N_USERS = 943
SAMPLED = ("build_features", "train_model.als.ranker", "generate_candidates.full", "evaluate", "publish_table")
K = 10


@pytest.fixture(scope="module")
def home(stack: Stack, first_night: str) -> Iterator[Path]:
    """The home folder in which the real scheduler has run the first night."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(stack.installation.settings.home))
        yield stack.installation.settings.home


@pytest.fixture(scope="module")
def undisturbed(home: Path, stack: Stack, first_night: str) -> Run:
    """The run of the first night."""
    return Run.open(stack.file_safe(first_night))


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
    assert "mend it and clear apply_rules" in stack.failures("nightly_retrain", first_night)
    _see_why_it_failed(stack, first_night)
    assert stack.published("SELECT version, content_hash, state FROM publications") == live

    stack.api.clear("nightly_retrain", first_night, "apply_rules")
    assert stack.wait_for("nightly_retrain", first_night) == "success", stack.failures("nightly_retrain", first_night)
    assert undisturbed.read("out_recommendations").equals(lists)
    assert stack.published("SELECT version, content_hash, state FROM publications") == live


def _see_why_it_failed(stack: Stack, night: str) -> None:
    """The failed night's report begins with the task and what it said; its link leads to the task's log in Airflow."""
    url, pictures = stack.installation.airflow_url, stack.installation.settings.home / "screenshots"
    with chromium() as program:
        browser = log_in(program, url, "admin", stack.installation.password("admin"), pictures)
        browser.page.goto(f"{url}/hybridrec/reports/{stack.file_safe(night)}")
        browser.picture("failed_night")
        failure = browser.page.locator("#failure")
        assert "This night failed in check_output" in (text := failure.inner_text()) and "concentration is" in text
        failure.get_by_role("link").click()
        browser.page.wait_for_url(f"**/runs/{quote(night, safe='')}/tasks/check_output")
        browser.page.get_by_text("mend it and clear apply_rules").first.wait_for()
        browser.picture("failed_task")


@dataclass
class Poller:
    """Reads the live table as a service would, again and again, and notes what no service should ever see."""

    path: Path
    versions: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    n_reads: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Poller:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.02):
            try:
                with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30) as db:
                    found = db.execute("SELECT version, COUNT(*) FROM recommendations GROUP BY version").fetchall()
            except sqlite3.Error as error:
                self.faults.append(repr(error))
                continue
            self.n_reads += 1
            self.versions.update(version for version, _ in found)
            if [count for _, count in found] != [N_USERS]:
                self.faults.append(f"saw {found}")


def kill_points(folder: Path) -> dict[str, list[float]]:
    """Seconds after which to kill each task: points spread over the night, the publish step at four of them.

    Of a task's own seconds: under the scheduler it also waited for the tasks beside it, most of all for Spark, which they share.
    """
    seconds = {
        f"{record.job}.{record.part}".rstrip("."): min(record.wall_seconds, record.cpu_seconds + record.spark_seconds * 0.6)
        for record in read_records(folder)
    }
    shares = np.random.default_rng(3).uniform(0.3, 0.8, size=len(seconds)).tolist()
    fits = sorted(name for name in seconds if name.startswith("train_model"))
    passed_over = {"stop_spark", "start_spark", "generate_candidates.holdout", *fits[1::4]}
    points = {name: [share * seconds[name]] for name, share in zip(seconds, shares, strict=True) if name not in passed_over}
    points["publish_table"] = [share * seconds["publish_table"] for share in (0.45, 0.55, 0.65, 0.75)]
    return points


@pytest.mark.parametrize("least", [4, pytest.param(25, marks=pytest.mark.system)])
def test_a_killed_night_publishes_the_same_table(least: int, undisturbed: Run, home: Path) -> None:
    run_id = f"killed_{least}_times"
    points = kill_points(undisturbed.folder)
    if least < 25:  # each costs the task's time once more
        points = {name: points[name][:1] for name in SAMPLED}
    killed = []
    with Poller(home / "published" / "recommendations.db") as reader:
        for step in steps("nightly_retrain", run_id, NIGHT):
            for seconds in points.get(step.task, []):
                killed += [step.task] * nightly.run_killed(step, home, seconds)
            if step.task == "rank_candidates":
                server = running_server(Settings.from_env(), step.session)
                assert server is not None
                os.killpg(server.pid, signal.SIGKILL)
                killed.append("the Spark server")
            assert nightly.run(step, home) == 0, nightly.tail(step, home)
    assert len(killed) >= least, f"only {len(killed)} of the kills hit a living process: {killed}"
    assert not reader.faults, reader.faults[:3]
    assert reader.n_reads > 50
    hashes = {publication.run_id: publication.content_hash for publication in open_target(Settings.from_env()).versions()}
    assert hashes[run_id] == hashes[undisturbed.run_id]
    assert len(reader.versions) == 2


def test_the_same_spark_job_submitted_twice_at_once_leaves_one_result(undisturbed: Run, home: Path) -> None:
    (step,) = [step for step in steps("nightly_retrain", undisturbed.run_id, NIGHT) if step.task == "generate_candidates.full"]
    before = store.read_manifest(undisturbed.dataset("model_candidates", "full"))
    both = [nightly.start(step, home) for _ in range(2)]
    try:
        assert [process.wait(timeout=nightly.STEP_SECONDS) for process in both] == [0, 0], nightly.tail(step, home)
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


def test_lookup_prints_a_known_users_list_and_tells_an_unknown_user(undisturbed: Run, home: Path) -> None:
    def look(user: str) -> str:
        return subprocess.run([sys.executable, "-m", "jobs.lookup", "--user-id", user], capture_output=True, text=True, check=True).stdout

    started = time.monotonic()
    known = look("196")
    assert time.monotonic() - started < 20
    assert len([line for line in known.splitlines() if line[:1].isdigit()]) == K
    assert "User nobody is not known" in look("nobody")

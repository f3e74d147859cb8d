"""The list of runs: what each has come to by its report and by the target, which is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from hybridrec.base.settings import Settings
from hybridrec.publishing.interventions import Intervention, record
from hybridrec.report.pages.run_list import list_runs, render_runs
from hybridrec.report.summary import SUMMARY
from hybridrec.serving.lookup import open_target
from hybridrec.storage import store
from hybridrec.versions.publications import Target
from tests.support.runs_of_every_kind import EVERY_KIND, NOW, add_run, fill, states


@pytest.fixture
def embedded(home: Path) -> Iterator[Target]:
    with closing(open_target(Settings.from_env())) as target:
        yield target


def test_the_target_says_which_version_is_live_now(home: Path, embedded: Target) -> None:
    fill(home, embedded)
    found = list_runs(Settings.from_env(), NOW)
    assert states(found) == EVERY_KIND
    page = render_runs(found, "/hybridrec")
    assert "version v3 of run newest, published at 2026-04-11 00:00 UTC, valid until 2026-04-13 00:00 UTC" in page
    assert page.count("live now</span>") == 1 and "expired" not in page
    assert "failed in train_ranker · 2 warnings" in page and "+0.0100 (+0.0050 to +0.0150)" in page
    assert "/reports/at_work" not in page and '<a href="/hybridrec/reports/trial">' in page


def test_a_rollback_moves_the_mark(home: Path, embedded: Target) -> None:
    fill(home, embedded)
    embedded.switch_to("v2", 3)
    found = states(list_runs(Settings.from_env(), NOW))
    assert (found["newer"], found["newest"]) == ("live now", "kept")


def test_a_live_version_may_have_expired(home: Path, embedded: Target) -> None:
    fill(home, embedded)
    assert "expired" in render_runs(list_runs(Settings.from_env(), NOW + timedelta(days=2)), "/hybridrec")


def test_nothing_is_live_before_the_first_night(home: Path) -> None:
    page = render_runs(list_runs(Settings.from_env(), NOW), "/hybridrec")
    assert "No version is live." in page and "No run yet" in page


@pytest.mark.parametrize(
    ("target", "said"), [("sqlite", "not a database"), ("postgres", "HYBRIDREC_POSTGRES is no address"), ("none", "'none'")]
)
def test_a_target_that_cannot_be_asked_is_said(home: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str) -> None:
    add_run(home, "older", "published")
    add_run(home, "broken", "failed")
    (home / "published").mkdir()
    (home / "published" / "recommendations.db").write_text("no database, but as long as one" * 200)
    monkeypatch.setenv("HYBRIDREC_TARGET", target)
    monkeypatch.delenv("HYBRIDREC_POSTGRES", raising=False)
    found = list_runs(Settings.from_env(), NOW)
    assert found.problem.startswith(f"The target {target} could not be asked: ") and said in found.problem
    assert states(found) == {"older": "published", "broken": "failed"}
    assert "The live version is unknown" in (page := render_runs(found, "/hybridrec")) and "live now" not in page


def test_a_report_of_another_release_has_its_row(home: Path) -> None:
    for run_id, summary in (("newer", {"outcome": "failed", "mood": "grey"}), ("odd", {"outcome": "postponed"})):
        add_run(home, run_id)
        with store.staged(home / "runs" / run_id / "report") as report:
            (report / SUMMARY).write_text(json.dumps(summary))
    add_run(home, "older")
    with store.staged(home / "runs" / "older" / "report") as report:
        (report / "report.html").write_text("<p>before there were summaries")
    assert states(list_runs(Settings.from_env(), NOW)) == {"newer": "failed", "odd": "reported", "older": "reported"}


def test_names_of_folders_cannot_write_the_page(home: Path) -> None:
    add_run(home, "<script>", "failed")
    add_run(home, "good", "failed", failed_in="<b>")
    page = render_runs(list_runs(Settings.from_env(), NOW), "/hybridrec")
    assert "script" not in page and "failed in &lt;b&gt;" in page


def test_a_hold_is_said_with_its_reason_until_it_is_lifted(home: Path) -> None:
    settings = Settings.from_env()
    record(settings, Intervention("hold", NOW, "paula", "prices of <yesterday>"))
    page = render_runs(list_runs(settings, NOW), "/hybridrec")
    assert "Publications are held" in page and "paula held publications on" in page and "prices of &lt;yesterday&gt;" in page
    record(settings, Intervention("lift", NOW + timedelta(hours=1), "paula", "prices are right again"))
    assert "Publications are held" not in render_runs(list_runs(settings, NOW), "/hybridrec")

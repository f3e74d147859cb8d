"""A home with runs of every kind, and their versions in a target."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from hybridrec.report.pages.run_list import RunList
from hybridrec.report.summary import SUMMARY
from hybridrec.storage import store
from hybridrec.versions.publications import Target
from tests.support.published_rows import AS_OF, publication, tables

NOW = AS_OF + timedelta(hours=6)


def add_run(home: Path, run_id: str, outcome: str = "", failed_in: str = "", figure: str = "") -> None:
    """Return a run's folder, with a report's summary if it has an outcome."""
    folder = home / "runs" / run_id
    store.write_json(folder / "run.json", {"source": "small", "as_of": "2026-04-11T00:00:00+00:00"})
    if outcome:
        summary = {
            "outcome": outcome,
            "written_at": "",
            "headline": "",
            "figure": figure,
            "figure_of": "ndcg@10 over als",
            "n_warnings": 2,
            "failed_in": failed_in,
        }
        with store.staged(folder / "report") as report:
            (report / SUMMARY).write_text(json.dumps(summary))


def add_version(target: Target, version: str, run_id: str) -> None:
    """Make a version of the run live."""
    target.stage(publication(version, run_id=run_id), tables(version))
    target.switch_to(version, 3)


def states(found: RunList) -> dict[str, str]:
    return {row.run_id: row.state for row in found.rows}


def fill(home: Path, target: Target) -> None:
    """Return runs of every kind; the target keeps three of four versions."""
    for number, run_id in enumerate(("oldest", "older", "newer", "newest")):
        add_run(home, run_id, "published", figure="+0.0100 (+0.0050 to +0.0150)")
        add_version(target, f"v{number}", run_id)
    add_run(home, "trial", "not published")
    add_run(home, "held", "held")
    add_run(home, "held_late", "held")
    target.stage(publication("v4", run_id="held_late"), tables("v4"))
    add_run(home, "broken", "failed", failed_in="train_ranker")
    add_run(home, "at_work")


EVERY_KIND = {
    "oldest": "dropped",
    "older": "kept",
    "newer": "kept",
    "newest": "live now",
    "trial": "not published",
    "held": "held",
    "held_late": "held",
    "broken": "failed",
    "at_work": "no report yet",
}

"""Draw the list of runs: the outcome of each, and which version is live now, as the target says when it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hybridrec.publishing import interventions
from hybridrec.publishing.publish import live_publication
from hybridrec.report.gathering.target_state import ask_target
from hybridrec.report.pages.page import template
from hybridrec.report.story import HELD
from hybridrec.report.summary import Summary, read_summary
from hybridrec.runs.run import MANIFEST, RUN_ID
from hybridrec.storage import shared_files, store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybridrec.base.settings import Settings
    from hybridrec.versions.publications import Publication

SHOWN = 100  # of all runs, the newest
# State of a run's version in the target: what the list calls it, its style, and what that means.
STATES = {
    "live": ("live now", "good", "The version that services read now."),
    "kept": ("kept", "kind", "Was live; a rollback can bring it back."),
    "dropped": ("dropped", "kind", "Was live; its tables are gone."),
    "rejected": ("rejected", "bad", "The stored version failed its check and never went live."),
    "staged": ("staged", "bad", "Was written and never went live."),
}
OUTCOMES = {
    "published": ("published", "kind", "By its report; the target does not name it now."),
    "not published": ("not published", "kind", "As asked: judged and reported only."),
    "held": ("held", "kind", "Judged and reported; a person held publications."),
    "failed": ("failed", "bad", "Ended before it was published."),
}
REPORTED = ("reported", "kind", "Judged, with a report of its own kind or of an earlier release.")
UNFINISHED = ("no report yet", "kind", "Running, or ended before its report.")


@dataclass(frozen=True)
class RunRow:
    """One run. state, style, meaning: its outcome. figure: what its lists gain over the best single model."""

    run_id: str
    opened_at: str
    source: str
    as_of: str
    state: str
    style: str
    meaning: str
    figure: str
    figure_of: str
    remark: str
    has_report: bool


@dataclass(frozen=True)
class RunList:
    """The newest runs, the live version by the target, or why it could not be asked.

    hold: person, time and reason of a hold; empty without one. n_older: runs that are not shown.
    """

    asked_at: str
    live: str
    is_expired: bool
    problem: str
    hold: str
    rows: tuple[RunRow, ...]
    n_older: int


def list_runs(settings: Settings, now: datetime) -> RunList:
    """Read the runs' folders, and ask the target."""
    names = [name for name in shared_files.children(settings.runs) if RUN_ID.fullmatch(name)]
    opened = shared_files.times([settings.runs / name / MANIFEST for name in names])
    reports = shared_files.times([settings.runs / name / "report" / store.MANIFEST for name in names])
    newest_first = sorted(
        ((at, name, report is not None) for at, name, report in zip(opened, names, reports, strict=True) if at), reverse=True
    )
    answer = ask_target(settings)
    live, published = live_publication(list(answer.versions)), {version.run_id: version for version in answer.versions}
    rows = tuple(_row(settings, name, at, has_report, published) for at, name, has_report in newest_first[:SHOWN])
    expired, held = live is not None and live.valid_until < now, interventions.hold(settings)
    hold = held.sentence if held else ""
    return RunList(minute(now), _live(live) if live else "", expired, answer.problem, hold, rows, len(newest_first) - len(rows))


def render_runs(run_list: RunList, prefix: str) -> str:
    """Return the page as HTML; prefix: path below which reports are served."""
    return template("runs.html").render(run_list=run_list, prefix=prefix)


def minute(at: datetime) -> str:
    """Return a point in time to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _live(live: Publication) -> str:
    return f"version {live.version} of run {live.run_id}, published at {minute(live.generated_at)}, valid until {minute(live.valid_until)}"


def _row(settings: Settings, name: str, opened_at: float, has_report: bool, published: Mapping[str, Publication]) -> RunRow:
    manifest = json.loads(shared_files.read_text(settings.runs / name / MANIFEST))
    summary = read_summary(settings.runs / name) if has_report else None
    state, style, meaning = _state(published.get(name), summary, has_report)
    return RunRow(
        run_id=name,
        opened_at=minute(datetime.fromtimestamp(opened_at, UTC)),
        source=str(manifest.get("source", "")),
        as_of=str(manifest.get("as_of", ""))[:16].replace("T", " "),
        state=state,
        style=style,
        meaning=meaning,
        figure=summary.figure if summary else "",
        figure_of=summary.figure_of if summary else "",
        remark=_remark(summary) if summary else "",
        has_report=has_report,
    )


def _state(version: Publication | None, summary: Summary | None, has_report: bool) -> tuple[str, str, str]:
    """Prefer the target's state; it has none for runs without a publication."""
    was_held = summary is not None and summary.outcome == HELD
    if version is not None and not (was_held and version.state == "staged"):  # the hold came while it was being written
        return STATES[version.state]
    if summary is not None:
        return OUTCOMES.get(summary.outcome, REPORTED)
    return REPORTED if has_report else UNFINISHED


def _remark(summary: Summary) -> str:
    failed = f"failed in {summary.failed_in}" if summary.failed_in else ""
    warned = f"{summary.n_warnings} {'warning' if summary.n_warnings == 1 else 'warnings'}" if summary.n_warnings else ""
    return " · ".join(filter(None, (failed, warned)))

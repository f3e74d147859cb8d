"""Read the findings of ingest: rows kept, rows refused with reasons, and the checks of each core table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.ingest import quality
from hybridrec.report.facts import CheckLine, TableQuality
from hybridrec.storage import store

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

CORE_TABLES = ("core_events", "core_items", "core_users")


def table_quality(run: Run) -> tuple[TableQuality, ...]:
    """Return each core table of the run's source; rows are those that the run has pinned, checks those of the newest ingest."""
    return tuple(_one_table(run, name) for name in CORE_TABLES)


def _one_table(run: Run, name: str) -> TableQuality:
    rows = run.manifest.inputs[name].rows if name in run.manifest.inputs else 0
    try:
        checked = quality.read_checks(run.settings, run.manifest.source, name)
    except store.NotCommitted:
        return TableQuality(name, rows, {}, False, ())
    refused = dict(sorted(checked.quarantined.items(), key=lambda pair: (-pair[1], pair[0])))
    checks = sorted((_check(check) for check in checked.checks), key=lambda check: check.passed)
    return TableQuality(name, rows, refused, True, tuple(checks), checked.warnings)


def _check(check: quality.ExpectationResult) -> CheckLine:
    words = check.expectation.removeprefix("expect_").replace("_", " ")
    expected = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in check.expected.items()]
    observed = [f"found {check.observed}"] if check.observed is not None else []
    refused = [f"{check.unexpected_count:,} rows do not hold"] if check.unexpected_count else []
    detail = ", ".join([*expected, *observed, *refused, *([check.error] if check.error else [])])
    return CheckLine(f"{check.column}: {words}" if check.column else words, check.success, detail)


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

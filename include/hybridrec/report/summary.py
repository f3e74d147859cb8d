"""A report in a few words, beside it as summary.json: what the list of runs needs of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from hybridrec.storage import shared_files, store

if TYPE_CHECKING:
    from pathlib import Path

    from hybridrec.report.facts import Facts

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Summary:
    """State at the time of the report.

    outcome: published, held, not published or failed. figure: what the lists gain over the best single model, empty if it was not measured;
    figure_of: in which metric and over which model. failed_in: the first failing task of a failed night.
    """

    outcome: str = ""
    written_at: str = ""
    headline: str = ""
    figure: str = ""
    figure_of: str = ""
    n_warnings: int = 0
    failed_in: str = ""


def summary_json(facts: Facts) -> str:
    """Return the file's content."""
    failed_in, served = facts.failure.task if facts.failure else "", facts.served
    figure = f"{served.difference:+.4f} ({served.low:+.4f} to {served.high:+.4f})" if served else ""
    figure_of = f"{served.metric} over {served.best}" if served else ""
    summary = Summary(facts.outcome, facts.written_at, facts.headline, figure, figure_of, len(facts.warnings), failed_in)
    return json.dumps(asdict(summary), indent=1)


def read_summary(run_folder: Path) -> Summary | None:
    """Read the summary of a run's report; None without one. Fields of another release are used as far as both know them."""
    try:
        raw = json.loads(shared_files.read_text(store.committed_folder(run_folder / "report") / SUMMARY))
    except (store.NotCommitted, FileNotFoundError):
        return None
    return Summary(**{field.name: raw[field.name] for field in fields(Summary) if field.name in raw})

"""A report in a few words, beside it as summary.json: what the list of runs needs of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hybridrec import storage, store

if TYPE_CHECKING:
    from pathlib import Path

    from hybridrec.report.facts import Facts, Served

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Summary:
    """What was true when the report was written.

    outcome: published, not published or failed. figure: the lists against the best single model, empty if it was not measured.
    failed_in: the first failing task of a failed night.
    """

    outcome: str
    written_at: str
    headline: str
    figure: str
    n_warnings: int
    failed_in: str


def summary_json(facts: Facts) -> str:
    """The file's content."""
    failed_in = facts.failure.task if facts.failure else ""
    figure = figure_of(facts.served) if facts.served else ""
    return json.dumps(asdict(Summary(facts.outcome, facts.written_at, facts.headline, figure, len(facts.warnings), failed_in)), indent=1)


def figure_of(served: Served) -> str:
    """As "+0.0134 (+0.0050 to +0.0210) ndcg@20 over als"."""
    return f"{served.difference:+.4f} ({served.low:+.4f} to {served.high:+.4f}) {served.metric} over {served.best}"


def read_summary(run_folder: Path) -> Summary | None:
    """Of a run's report; None without a report, or beside one that is older than summaries."""
    try:
        return Summary(**json.loads(storage.read_text(store.committed_folder(run_folder / "report") / SUMMARY)))
    except (store.NotCommitted, FileNotFoundError):
        return None

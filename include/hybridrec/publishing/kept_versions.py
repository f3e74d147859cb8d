"""List the choices for a rollback: the kept versions with their dates and the figures of their runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.policy.policy import DECISION, read_choices
from hybridrec.runs.run import Run
from hybridrec.storage import store

if TYPE_CHECKING:
    from hybridrec.base.settings import Settings
    from hybridrec.versions.publications import Publication, Target


@dataclass(frozen=True)
class KeptVersion:
    """A version that may go live again.

    k: items a user got. quality: mean of `metric` over the served users, as the report of the run states it. coverage: share of the
    available items that is in some list. None: the run's folder does not tell, as when it was deleted.
    """

    publication: Publication
    k: int | None = None
    metric: str = ""
    quality: float | None = None
    coverage: float | None = None

    @property
    def label(self) -> str:
        """The version as a person tells it from the others."""
        return f"{self.publication.version} of {self.publication.generated_at:%Y-%m-%d %H:%M}"


def kept_versions(target: Target, settings: Settings) -> list[KeptVersion]:
    """Return the kept versions, newest first."""
    return [with_figures(publication, settings) for publication in target.versions() if publication.state == "kept"]


def as_markdown(versions: list[KeptVersion]) -> str:
    """Return a table with a row a version."""
    head = (
        "| version | published | sees events until | run | users | k | quality | coverage | notes |\n|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *map(_row, versions)])


def with_figures(publication: Publication, settings: Settings) -> KeptVersion:
    """Return a version with the figures of its run, if the run's folder is still there."""
    try:
        run = Run.open(publication.run_id, settings)
        metric, quality = served_quality(run)
        return KeptVersion(publication, run.config.k, metric, quality, _coverage(run))
    except (PermanentError, OSError, store.NotCommitted):
        return KeptVersion(publication)


def served_quality(run: Run) -> tuple[str, float]:
    """Return the decision's metric as the report states it: each segment by its list, weighted by its share of the served users.

    A run of before that share was kept counts each segment by its held-out users.
    """
    decision = json.loads((run.artefact("decision") / DECISION).read_text())
    metric, judged = str(decision["metric"]), decision.get("judged", {})
    promoted = store.is_committed(run.dataset("promotion"))
    chosen = read_choices((run.artefact("promotion") / "policy" if promoted else run.artefact("decision")) / DECISION)
    rows = {(row["name"], row["segment"]): row for row in run.read("out_metrics").to_pylist() if row["metric"] == metric}
    if any(choice.parts for choice in chosen.values()) and not _is_challenger(run):
        raise PermanentError(f"run {run.run_id}: its lists are an earlier champion's ensemble, which its out_metrics do not judge")
    names = {segment: "tonight" if choice.parts else choice.name for segment, choice in chosen.items()}  # an ensemble is judged as chosen
    served = [rows[name, segment] for segment, name in names.items() if (name, segment) in rows]
    served = [row for row in served if row["segment"] in judged] or served
    weights = [decision["served"][row["segment"]] if row["segment"] in judged else row["n_users"] for row in served]
    return metric, sum(row["value"] * weight for row, weight in zip(served, weights, strict=True)) / max(sum(weights), 1)


def _is_challenger(run: Run) -> bool:
    """Return whether the run's lists are ranked by its own policy; also if no gate has judged it."""
    path = run.artefact("promotion") / "promotion.json" if store.is_committed(run.dataset("promotion")) else None
    return path is None or not path.exists() or json.loads(path.read_text())["serving"] == "tonight"


def _coverage(run: Run) -> float | None:
    checks = json.loads((run.artefact("output_checks") / "checks.json").read_text())["checks"]
    return next((float(check["value"]) for check in checks if check["name"] == "coverage"), None)


def _row(version: KeptVersion) -> str:
    made = version.publication
    cells = [
        made.version,
        f"{made.generated_at:%Y-%m-%d %H:%M}",
        f"{made.as_of:%Y-%m-%d %H:%M}",
        made.run_id,
        f"{made.counts.get('recommendations', 0):,}",
        "" if version.k is None else str(version.k),
        "" if version.quality is None else f"{version.metric} {version.quality:.4f}",
        "" if version.coverage is None else f"{version.coverage:.1%}",
        "live now" if made.state == "live" else made.notes,
    ]
    return f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |"  # notes hold what a person has typed

"""Compute the headline's figures: this run's lists beside the best single model, over the users who are served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hybridrec.evaluation.comparisons import POPULARITY, Comparison
from hybridrec.evaluation.served import SERVED
from hybridrec.policy.policy import DECISION
from hybridrec.report.facts import Facts, SegmentMix, Served
from hybridrec.splitting.mix import SEGMENTS

if TYPE_CHECKING:
    from hybridrec.runs.run import Run


def served_quality(run: Run, facts: Facts) -> Served | None:
    """Return the figures of the ranked lists: the challenger's, or its replacement's; None if too few users were evaluated."""
    figures = json.loads((run.artefact("decision") / DECISION).read_text())
    comparison = _against_best(facts)
    if comparison is None:
        return None
    levels = {m.name: m.value for m in facts.metrics if m.segment == SERVED and m.metric == facts.metric and m.kind == "source"}
    users = {segment: int(figures["served"][segment]) for segment in SEGMENTS if figures["served"].get(segment)}
    judged = figures["judged"]
    return Served(
        metric=comparison.metric,
        ranked_by=comparison.name,
        value=levels[comparison.against] + comparison.difference,
        best=comparison.against,
        best_value=levels[comparison.against],
        difference=comparison.difference,
        low=comparison.low,
        high=comparison.high,
        popularity=levels.get(POPULARITY),
        n_judged=comparison.n_users,
        users={segment: n for segment, n in users.items() if segment in judged},
        left_out={segment: n for segment, n in users.items() if segment not in judged},
    )


def user_mix(run: Run) -> tuple[SegmentMix, ...]:
    """Return who is served beside who has labels, by segment; empty for a run of before the users were weighed."""
    mixes = json.loads((run.artefact("decision") / DECISION).read_text()).get("mix", {})
    if not mixes.get("served"):
        return ()
    columns = ("served", "judged_labelled", "judged", "learnt_labelled", "learnt")
    return tuple(SegmentMix(name, *(float(mixes[column].get(name, 0.0)) for column in columns)) for name in SEGMENTS)


def _against_best(facts: Facts) -> Comparison | None:
    """Return the comparison with the best single retriever; evaluate writes it before the one with popularity."""
    stand_in = facts.gate is not None and facts.gate.serving != "tonight"
    rows = facts.gate.comparisons if facts.gate and stand_in else facts.comparisons
    comparisons = [row for row in rows if row.question == SERVED and row.metric == facts.metric]
    return next((row for row in comparisons if row.against != POPULARITY), next(iter(comparisons), None))

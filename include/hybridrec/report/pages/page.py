"""Draw the facts as one self-contained page."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.served import SERVED
from hybridrec.metrics import metrics as definitions
from hybridrec.report import story
from hybridrec.report.facts import Facts, Metric, Step
from hybridrec.report.gathering.failure import HOW
from hybridrec.report.pages.charts import histogram_chart, lorenz_chart
from hybridrec.report.pages.forest_plot import KINDS, Forest, ablation_forest, difference_forest, metric_forest

HERE = Path(__file__).parent
SEGMENTS = ("served", "all", "heavy", "light", "none", "new_items")


@dataclass(frozen=True)
class AblationTable:
    """Contribution of each model to a strategy: intervals to be drawn, and further figures by model."""

    scope: str
    strategy: str
    forest: Forest
    rows: dict[str, Ablation]


@dataclass(frozen=True)
class MetricTable:
    """Metrics as a table: one row per list, one column per metric; None without a value."""

    segment: str
    depth: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Metric | None, ...]], ...]  # kind, name, cells


def render(facts: Facts) -> str:
    """Return the page as HTML."""
    published = story.published_list(facts)
    return template("page.html").render(
        facts=facts,
        tiles=tiles(facts),
        published=published,
        basis=story.basis(facts.served) if facts.served else "",
        how_killed=HOW["running"],
        judged=story.judged_users(facts),
        forests=[(segment, metric_forest(metrics, published)) for segment in SEGMENTS if (metrics := story.overall(facts, segment))],
        tables=metric_tables(facts),
        glossary=glossary(facts.metrics),
        comparisons=comparison_plots(facts),
        gate=difference_forest([c for c in facts.gate.comparisons if c.metric == facts.metric]) if facts.gate else None,
        ablations=ablation_tables(facts),
        recall={(m.name, m.metric): m for m in facts.metrics if m.segment == "all" and m.metric.endswith(("@pool", "@100"))},
        lorenz=lorenz_chart(facts.lists.exposures) if facts.lists else "",
        histograms=[(h.name, histogram_chart(h)) for h in facts.lists.scores] if facts.lists else [],
        longest=max([total_seconds(step) for step in (*facts.steps, *facts.ingest_steps)], default=1.0) or 1.0,
        largest=max([step.peak_mib for step in (*facts.steps, *facts.ingest_steps)], default=1.0) or 1.0,
        total_seconds=total_seconds,
    )


def template(name: str) -> Template:
    """Return a page of this folder, with the style and the filters that all of them use."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "seconds": seconds}
    environment.globals["style"] = Markup((HERE / "page.css").read_text())  # noqa: S704  a file of this package
    return environment.get_template(name)


def report_json(facts: Facts) -> str:
    """Return the same figures for machines; NaN becomes null, since JSON has none."""
    return json.dumps(_without_nan(asdict(facts)), indent=1, sort_keys=True)


def tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """Return the figures at the top: label, value, remark."""
    tiles_shown = []
    ours = {m.name: m for m in story.overall(facts)}
    name = story.published_list(facts)
    if facts.lists:
        share = facts.lists.exposures[0].n_shown / max(facts.lists.exposures[0].n_items, 1)
        tiles_shown.append(("Users served", number(facts.lists.n_users), f"{number(facts.lists.n_places)} positions"))
        tiles_shown.append(("Catalogue shown", percent(share), f"{number(facts.lists.exposures[0].n_shown)} items"))
    if facts.served:
        served = facts.served
        tiles_shown.append((served.metric, f"{served.value:.4f}", f"best single model {served.best_value:.4f}"))
        tiles_shown.append(("Gain over it", f"{served.difference:+.4f}", f"{served.low:+.4f} to {served.high:+.4f}"))
    elif name in ours:
        tiles_shown.append((f"{ours[name].metric}, {name}", f"{ours[name].value:.4f}", f"{ours[name].low:.4f} to {ours[name].high:.4f}"))
    retrievers = [m for m in ours.values() if m.kind == "source"]
    if retrievers and not facts.served:
        best = max(retrievers, key=lambda m: (m.value, m.name))
        tiles_shown.append(("Best single retriever", f"{best.value:.4f}", best.name))
    if facts.gate:
        tiles_shown.append(("Gate", "promoted" if facts.gate.promoted else "not promoted", f"model version {facts.gate.candidate}"))
    if facts.steps:
        tiles_shown.append(("Time in tasks", seconds(sum(total_seconds(step) for step in facts.steps)), f"{len(facts.steps)} tasks so far"))
    return tiles_shown


def comparison_plots(facts: Facts) -> list[tuple[str, Forest]]:
    """Return lists against each other, by segment, in the metric that decides."""
    plots = []
    for segment in SEGMENTS:
        comparisons = [c for c in facts.comparisons if c.segment == segment and c.metric == facts.metric]
        if comparisons:
            plots.append((segment, difference_forest(comparisons)))
    return plots


def ablation_tables(facts: Facts) -> list[AblationTable]:
    """Return each model's contribution by strategy, the published one first; a full study before the night's sample."""
    published = story.published_list(facts)
    names = sorted({(a.scope != "study", a.strategy != published, a.strategy, a.scope) for a in facts.ablations})
    tables = []
    for _, _, strategy, scope in names:
        rows = [a for a in facts.ablations if (a.strategy, a.scope) == (strategy, scope)]
        tables.append(AblationTable(scope, strategy, ablation_forest(rows), {a.source: a for a in rows}))
    return tables


def metric_tables(facts: Facts) -> list[MetricTable]:
    """Return one table a segment and length of list, that of the deciding metric first; strategies before models."""
    depth = facts.metric.partition("@")[2]
    depths = sorted({m.metric.partition("@")[2] for m in facts.metrics if m.metric.startswith("ndcg@")}, key=int)
    ordered = sorted(depths, key=lambda k: (k != depth, int(k)))
    judged = [segment for segment in SEGMENTS if segment != SERVED]  # the served are weighed by one metric only
    return [table for k in ordered for segment in judged if (table := _metric_table(facts.metrics, segment, k)).rows]


def _metric_table(metrics: Sequence[Metric], segment: str, depth: str) -> MetricTable:
    of_depth = [m for m in metrics if m.segment == segment and m.kind in KINDS and m.metric.partition("@")[2] == depth]
    cells = {(m.kind, m.name, m.metric): m for m in of_depth}
    columns = tuple(sorted({metric for _, _, metric in cells}, key=metric_order))
    quality = {(kind, name): m.value for (kind, name, metric), m in cells.items() if metric == f"ndcg@{depth}"}
    lists = sorted({(kind, name) for kind, name, _ in cells}, key=lambda key: (list(KINDS).index(key[0]), -quality.get(key, 0.0), key))
    rows = tuple((kind, name, tuple(cells.get((kind, name, metric)) for metric in columns)) for kind, name in lists)
    return MetricTable(segment, depth, columns, rows)


def metric_order(metric: str) -> tuple[int, int, str]:
    """Return the position of a metric in a table: as defined, then by k."""
    name, _, k = metric.partition("@")
    names = [*definitions.METRICS, *definitions.CATALOGUE_METRICS, *definitions.TABLE_METRICS]
    return (names.index(name) if name in names else len(names), int(k) if k.isdigit() else 0, name)


def glossary(metrics: Sequence[Metric]) -> list[tuple[str, str]]:
    """Return the definition of each metric."""
    names = sorted({m.metric.partition("@")[0] for m in metrics}, key=metric_order)
    entries = []
    for name in names:
        definition = definitions.METRICS.get(name) or getattr(definitions, name, None)
        if definition and (doc := inspect.getdoc(definition)):
            entries.append((name, " ".join(doc.split())))
    return entries


def total_seconds(step: Step) -> float:
    """Return wall time of a task, with what the scheduler added where that is known."""
    return step.startup_seconds + step.spark_seconds + step.compute_seconds + (step.airflow_seconds or 0.0)


def number(value: float) -> str:
    """Return a count with separators."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """Return a share as per cent."""
    return f"{share:.1%}"


def seconds(value: float) -> str:
    """Return a duration for a person."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {value % 60:02.0f} s"


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

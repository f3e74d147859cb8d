"""The page of a backtest: how each list would have done at several points in time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hybridrec import strategies
from hybridrec.evaluation.comparisons import POPULARITY
from hybridrec.report.pages.charts import Line, line_chart
from hybridrec.report.pages.page import SEGMENTS, template

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

Point = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class BacktestList:
    """One list at all origins; None where it was not judged. mean: of the origins where it was."""

    kind: str
    name: str
    mean: float
    points: tuple[Point | None, ...]


@dataclass(frozen=True)
class BacktestSegment:
    """The lists of one segment, the best mean first. n_users: judged at each origin."""

    segment: str
    n_users: tuple[int, ...]
    lists: tuple[BacktestList, ...]


@dataclass(frozen=True)
class BacktestFacts:
    """Content of the page; origins are points in time, the oldest first."""

    run_id: str
    source: str
    metric: str
    origins: tuple[str, ...]
    headline: str
    segments: tuple[BacktestSegment, ...]


def backtest_facts(run: Run) -> BacktestFacts:
    """Read out_backtest by the metric that lists are compared by."""
    metric = f"ndcg@{run.config.k}"
    rows = [row for row in run.read("out_backtest").to_pylist() if row["metric"] == metric]
    times = sorted({row["as_of"] for row in rows})
    segments = tuple(_segment(name, of_segment, times) for name in SEGMENTS if (of_segment := [r for r in rows if r["segment"] == name]))
    origins = tuple(f"{time:%Y-%m-%d}" for time in times)
    return BacktestFacts(run.run_id, run.manifest.source, metric, origins, _headline(metric, segments[0]), segments)


def render_backtest(facts: BacktestFacts) -> str:
    """Return the page as HTML."""
    return template("backtest.html").render(
        facts=facts,
        charts={of.segment: line_chart(facts.origins, _lines(of), facts.metric) for of in facts.segments},
        roles={of.segment: _roles(of) for of in facts.segments},
    )


def backtest_json(facts: BacktestFacts) -> str:
    """Return the same figures for machines."""
    return json.dumps(asdict(facts), indent=1, sort_keys=True)


def _segment(name: str, rows: Sequence[dict[str, object]], times: Sequence[object]) -> BacktestSegment:
    points_by_list: dict[tuple[str, str], dict[object, Point]] = {}
    users: dict[object, int] = {}
    for row in rows:
        points = points_by_list.setdefault((str(row["kind"]), str(row["name"])), {})
        points[row["as_of"]] = (float(row["value"]), float(row["low"]), float(row["high"]))  # type: ignore[arg-type]
        users[row["as_of"]] = int(row["n_users"])  # type: ignore[call-overload]
    lists = [
        BacktestList(kind, of, sum(value for value, _, _ in points.values()) / len(points), tuple(points.get(time) for time in times))
        for (kind, of), points in points_by_list.items()
    ]
    return BacktestSegment(name, tuple(users.get(time, 0) for time in times), tuple(sorted(lists, key=lambda one: (-one.mean, one.name))))


def _headline(metric: str, everybody: BacktestSegment) -> str:
    """Summarise whether the default is ahead, by how much, how often."""
    roles = {role: one for one in everybody.lists if (role := _roles(everybody).get(one.name))}
    ours, retriever = roles.get("strategy"), roles.get("best") or roles.get("popularity")
    if not ours or not retriever:
        return f"{everybody.lists[0].name} has the best mean {metric}, {everybody.lists[0].mean:.4f}."
    pairs = [(a, b) for a, b in zip(ours.points, retriever.points, strict=True) if a and b]
    ahead = sum(a[0] > b[0] for a, b in pairs)
    text = f"Over {len(pairs)} points in time {ours.name} has a mean {metric} of {ours.mean:.4f}, the best single retriever, "
    return text + f"{retriever.name}, {retriever.mean:.4f}; {ours.name} is ahead at {ahead} of {len(pairs)}."


def _roles(segment: BacktestSegment) -> dict[str, str]:
    """Return the style by name of the lists that are drawn: the default, the best other strategy, the best retriever, popularity."""
    of_kind = {kind: [one.name for one in segment.lists if one.kind == kind] for kind in ("strategy", "source")}
    others = [name for name in of_kind["strategy"] if name != strategies.DEFAULT]
    roles = dict.fromkeys(others[:1], "other") | dict.fromkeys(of_kind["source"][:1], "best")
    roles |= {name: "strategy" for name in of_kind["strategy"] if name == strategies.DEFAULT}
    return roles | {name: "popularity" for name in of_kind["source"] if name == POPULARITY and name not in roles}


def _lines(segment: BacktestSegment) -> list[Line]:
    roles = _roles(segment)
    return [Line(one.name, roles[one.name], one.points) for one in segment.lists if one.name in roles]

"""Model the cost of a night as a function of its size: `python -m benchmarks.cost_model` writes docs/scale.md.

Each stage's seconds are a constant plus a rate times what the stage works through (events, users, items, candidates): fitted on the
smallest and the largest night of docs/growth.json that ran with the same models, checked on the one between them. Items are an axis of
their own: in the nights over large catalogues a stage takes longer than its line says, and that is what it takes for each item. Then the
model is asked what a hundred million users and ten million items would take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth import RECORD, SIZES, Size

PAGE = RECORD.with_name("scale.md")
FITTED, LEFT_OUT, LARGEST = ("1m", "10m"), "3m", "100m"
WIDE = ("200k_items", "1m_items")  # many items for their events
CORES, POOL_SIZE, LABEL_USERS = 2, 300, 6_000
CHECKED_ROWS = 2_000_000  # of a table that Great Expectations looks at
HUGE = Size(10_000_000_000, 100_000_000, 10_000_000)
EXECUTOR_CORES, HOURS = 8, 4.0
SHOWN_SECONDS = 1.0  # a stage that takes less in the largest fitted night is added to the others
SHOWN_RATE = 0.05  # seconds for each million; less is rounding


class Unit(NamedTuple):
    """Input of a stage."""

    name: str
    count: Callable[[Size], float]


EVENTS = Unit("events", lambda size: size.n_events)
CHECKED = Unit("checked rows", lambda size: min(size.n_events, CHECKED_ROWS))
USERS = Unit("users", lambda size: size.n_users)
ITEMS = Unit("items", lambda size: size.n_items)
CANDIDATES = Unit("users x candidates", lambda size: size.n_users * (size.pool_size or POOL_SIZE))
LABELS = Unit("judged users", lambda size: min(size.n_users, LABEL_USERS))


class Kind(NamedTuple):
    """The quantity with which a stage's time grows, and whether Spark's executors share it."""

    unit: Unit
    spark: bool


STAGES: Mapping[str, Kind] = {
    "land_source": Kind(EVENTS, True),
    "core_events.clean_table": Kind(EVENTS, True),
    "core_items.clean_table": Kind(ITEMS, True),
    "core_users.clean_table": Kind(USERS, True),
    "core_events.check_table": Kind(CHECKED, False),
    "core_items.check_table": Kind(ITEMS, False),
    "core_users.check_table": Kind(USERS, False),
    "build_interactions": Kind(EVENTS, True),
    "build_features": Kind(EVENTS, True),
    "train_model.popularity": Kind(EVENTS, False),
    "train_model.recent_popularity": Kind(EVENTS, False),
    "train_model.item_knn": Kind(EVENTS, False),
    "train_model.sequence_knn": Kind(EVENTS, False),
    "train_model.als": Kind(EVENTS, False),
    "train_model.content_text": Kind(ITEMS, False),
    "train_model.content_attributes": Kind(ITEMS, False),
    "train_model.two_tower": Kind(USERS, False),
    "generate_candidates": Kind(USERS, True),
    "train_ranker": Kind(LABELS, False),
    "evaluate": Kind(LABELS, False),
    "promote_model": Kind(LABELS, False),
    "register_model": Kind(LABELS, False),
    "rank_candidates": Kind(CANDIDATES, True),
    "apply_rules": Kind(USERS, True),
    "check_output": Kind(USERS, False),
    "publish_table": Kind(USERS, False),
    "write_report": Kind(USERS, False),
}


@dataclass(frozen=True)
class Line:
    """Seconds of a stage: fixed + rate * units + per_item * items."""

    fixed: float
    rate: float
    per_item: float = 0.0

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> Line:
        """Fit a line through two points (units, seconds); flat if units or seconds do not grow."""
        (x, y), (x_large, y_large) = small, large
        if x_large <= x or y_large <= y:
            return cls((y + y_large) / 2, 0.0)
        rate = (y_large - y) / (x_large - x)
        return cls(max(y - rate * x, 0.0), min(rate, y_large / x_large))

    def seconds(self, units: float, n_items: float = 0.0) -> float:
        """Evaluate the line at that many units and items."""
        return self.fixed + self.rate * units + self.per_item * n_items


def main() -> None:
    """Write the page and print the check."""
    record = json.loads(RECORD.read_text())
    missing = [name for name in (*FITTED, LEFT_OUT) if name not in record]
    if missing:
        raise SystemExit(f"{RECORD.name} has no night of {', '.join(missing)}; run python -m benchmarks.growth --size {missing[0]}")
    lines = fit(record)
    PAGE.write_text(page(record, lines))
    predicted, measured = total(lines, SIZES[LEFT_OUT], record[LEFT_OUT]["seconds"]), sum(record[LEFT_OUT]["seconds"].values())
    print(f"{LEFT_OUT}, left out: predicted {predicted:,.0f} s, measured {measured:,.0f} s, ratio {predicted / measured:.2f}")
    print(f"wrote {PAGE.name}")


def fit(record: Mapping[str, dict[str, dict[str, float]]]) -> dict[str, Line]:
    """Return a line for each stage of the fitted nights; one that STAGES does not know costs the same at any size.

    A stage that only nights over large catalogues have has a line through these.
    """
    lines = {stage: _line(record, stage, FITTED) for stage in record[FITTED[0]]["seconds"]}
    wide = [name for name in WIDE if name in record]
    if wide:
        lines = {stage: _with_items(record[wide[-1]]["seconds"].get(stage), stage, line, SIZES[wide[-1]]) for stage, line in lines.items()}
    if len(wide) == len(WIDE):
        only_there = [stage for stage in record[wide[0]]["seconds"] if stage not in lines]
        lines |= {stage: _line(record, stage, WIDE) for stage in only_there if stage in record[wide[1]]["seconds"]}
    return lines


def _line(record: Mapping[str, dict[str, dict[str, float]]], stage: str, nights: tuple[str, str]) -> Line:
    """Fit a line through two nights."""
    points = [(STAGES[stage].unit.count(SIZES[name]) if stage in STAGES else 1.0, record[name]["seconds"][stage]) for name in nights]
    return Line.through(points[0], points[1])


def _with_items(measured: float | None, stage: str, line: Line, size: Size) -> Line:
    """Return the line, met by what the stage took with many items: what is above it is the items'; a line of items is turned to it."""
    if measured is None or stage not in STAGES:
        return line
    if STAGES[stage].unit is ITEMS:
        return Line(line.fixed, max(measured - line.fixed, 0.0) / size.n_items)
    return replace(line, per_item=max(measured - seconds_at(stage, line, size), 0.0) / size.n_items)


def seconds_at(stage: str, line: Line, size: Size) -> float:
    """Return predicted seconds of a stage on the measured machine."""
    return line.seconds(STAGES[stage].unit.count(size) if stage in STAGES else 1.0, size.n_items)


def total(lines: Mapping[str, Line], size: Size, stages: Iterable[str]) -> float:
    """Return predicted seconds of a night of these stages, task after task."""
    return sum(seconds_at(stage, lines[stage], size) for stage in stages)


def page(record: Mapping[str, dict[str, dict[str, float]]], lines: Mapping[str, Line]) -> str:
    """Return docs/scale.md."""
    text = (Path(__file__).parent / "scale.md").read_text()
    parts = {
        "measured": measured_table(record, (*FITTED[:1], LEFT_OUT, *FITTED[1:], LARGEST)),
        "wide": measured_table(record, WIDE),
        "model": model_table(record, lines),
        "check": check_sentence(record, lines),
        "huge": huge_table(lines),
    }
    for name, part in parts.items():
        text = text.replace(f"{{{{ {name} }}}}", part)
    return text


def measured_table(record: Mapping[str, dict[str, dict[str, float]]], nights: tuple[str, ...]) -> str:
    """Return seconds and peak memory by stage of those nights that are on record."""
    names = [name for name in nights if name in record]
    if not names:
        return "No such night is on record."
    heads = "".join(f" {_title(name)} | |" for name in names)
    rows = [f"| stage |{heads}", "|---|" + "---:|---:|" * len(names)]
    for stage in sorted({stage for name in names for stage in record[name]["seconds"]}):
        cells = [(record[name]["seconds"].get(stage), record[name]["peak_mib"].get(stage)) for name in names]
        rows.append(f"| {stage} |" + "".join(f" {_number(seconds, ' s')} | {_number(peak, ' MiB')} |" for seconds, peak in cells))
    sums = [(sum(record[name]["seconds"].values()), record[name]["peak_together_mib"]) for name in names]
    rows.append("| **together** |" + "".join(f" **{seconds:,.0f} s** | **{peak:,.0f} MiB** |" for seconds, peak in sums))
    return "\n".join(rows)


def _title(name: str) -> str:
    events = f"{SIZES[name].n_events / 1e6:,.0f} M events"
    return f"{events}, {SIZES[name].n_items:,} items" if name in WIDE else events


def _number(value: float | None, unit: str) -> str:
    return f"{value:,.0f}{unit}" if value else ""


def model_table(record: Mapping[str, dict[str, dict[str, float]]], lines: Mapping[str, Line]) -> str:
    """Return the lines, of stages that matter."""
    head = "| stage | fixed | for each million | of | and for each million items | predicted, measured at 3 M |"
    rows = [head, "|---|---:|---:|---|---:|---:|"]
    for stage, line in lines.items():
        if stage in STAGES and record[FITTED[1]]["seconds"].get(stage, SHOWN_SECONDS) >= SHOWN_SECONDS:
            measured = record[LEFT_OUT]["seconds"].get(stage)
            both = "" if measured is None else f"{seconds_at(stage, line, SIZES[LEFT_OUT]):,.0f} s, {measured:,.0f} s"
            rates = [f"{rate * 1e6:,.1f} s" if rate * 1e6 >= SHOWN_RATE else "" for rate in (line.rate, line.per_item)]
            rows.append(f"| {stage} | {line.fixed:,.1f} s | {rates[0]} | {STAGES[stage].unit.name} | {rates[1]} | {both} |")
    return "\n".join(rows)


def check_sentence(record: Mapping[str, dict[str, dict[str, float]]], lines: Mapping[str, Line]) -> str:
    """Say how far the left-out night is from its prediction."""
    predicted, measured = total(lines, SIZES[LEFT_OUT], record[LEFT_OUT]["seconds"]), sum(record[LEFT_OUT]["seconds"].values())
    return (
        f"The night of {SIZES[LEFT_OUT].n_events / 1e6:,.0f} M events was left out of the fit: predicted {predicted:,.0f} s, "
        f"measured {measured:,.0f} s, ratio {predicted / measured:.2f}."
    )


def huge_table(lines: Mapping[str, Line]) -> str:
    """Return core hours of each stage of the huge night, and executors to have each done in its share of the hours."""
    seconds = {stage: seconds_at(stage, line, HUGE) for stage, line in lines.items() if stage in STAGES}
    shared = {stage: value for stage, value in seconds.items() if STAGES[stage].spark}
    rows = ["| stage | of | core hours | |", "|---|---|---:|---|"]
    for stage, value in seconds.items():
        if value < 60:
            continue
        cores = CORES if STAGES[stage].spark else 1
        where = "executors" if STAGES[stage].spark else f"one process: {value / 3600:,.1f} h"
        rows.append(f"| {stage} | {STAGES[stage].unit.name} | {value * cores / 3600:,.0f} | {where} |")
    core_hours = sum(shared.values()) * CORES / 3600
    executors = core_hours / HOURS / EXECUTOR_CORES
    fleet = f"{executors:,.0f} executors of {EXECUTOR_CORES} cores for {HOURS:.0f} h"
    rows.append(f"| **Spark's stages together** | | **{core_hours:,.0f}** | {fleet} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()

"""Findings of a delivery's cleaning: refused rows and dropped values with reasons, and warnings for a person.

Kept as `findings.json` in the dataset `findings_<table>` beside the table; the record of its check repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.storage import store

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

FILE = "findings.json"
MANY = 0.05  # of the rows; more refused ones give a warning
LEAST = 2  # rows that make a day, a position or a type worth a sentence
SHOWN = 20  # sentences of this kind
EVERY = ""  # a reason of every row: how many there are
SHORT = 40


@dataclass(frozen=True)
class Findings:
    """One delivery of one table.

    rows: delivered. good: in the table now, or unless the check refuses it. refused: rows by reason.
    mended: optional values that could not be used and are null (or the default) now, by reason; their rows stayed.
    notes: other counts, as events that had waited and are in now. warnings: sentences for a person, the worst first.
    """

    table: str
    rows: int = 0
    good: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    mended: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find(name: str, frame: DataFrame, reasons: Mapping[str, int], notes: Mapping[str, int], said: tuple[str, ...]) -> Findings:
    """Count what is in a judged frame (it should be persisted). reasons: rows by reason; said: warnings that are known already."""
    mended = _mended(frame)
    refused = {reason: n for reason, n in sorted(reasons.items()) if reason}
    total, good = sum(reasons.values()), reasons.get("", 0)
    counts = {reason: loss.n for reason, loss in mended.items()}
    warnings = [*said, *_lost_columns(frame, mended), *_lost_groups(name, frame, bool(refused or counts))]
    if total - good > MANY * total:
        warnings.append(f"{total - good:,} of {total:,} rows are refused")
    warnings += [f"{reason}: {loss.n:,} values dropped, as {loss.example!r}; their rows stay" for reason, loss in mended.items()]
    told = tuple(f"{name}: {text}" for text in warnings)
    return Findings(name, total, good, refused, counts, {key: n for key, n in sorted(notes.items()) if n}, told)


@dataclass(frozen=True)
class _Mended:
    n: int
    example: str


def _mended(frame: DataFrame) -> dict[str, _Mended]:
    from pyspark.sql import functions as F

    entries = frame.where(F.size("_mended") > 0).select(F.explode("_mended").alias("entry"))
    rows = (
        entries.groupBy("entry.reason").agg(F.count("*").alias("n"), F.min(F.substring("entry.value", 1, SHORT)).alias("value")).collect()
    )
    return {row["reason"]: _Mended(row["n"], row["value"]) for row in sorted(rows, key=lambda row: str(row["reason"]))}


def _lost_columns(frame: DataFrame, mended: Mapping[str, _Mended]) -> Iterator[str]:
    """Yield columns of which no usable value is left."""
    from pyspark.sql import functions as F

    columns = sorted({reason.split(" ", 1)[0] for reason in mended})
    if not columns:
        return
    row = frame.agg(*[F.count_if(F.col(name).isNotNull() & ~F.exists("_mended", _concerns(name))).alias(name) for name in columns]).first()
    for name in columns:
        n = sum(loss.n for reason, loss in mended.items() if reason.startswith(f"{name} "))
        if row is not None and not row[name]:
            yield f"{name}: none of {n:,} delivered values can be used"


def _concerns(column: str) -> Callable[[Column], Column]:
    return lambda entry: entry["reason"].startswith(f"{column} ")


def _lost_groups(name: str, frame: DataFrame, any_faults: bool) -> Iterator[str]:
    """Yield event types, positions and days of which one reason takes every row, or a value of every row."""
    from pyspark.sql import functions as F

    if name != "core_events" or not any_faults:
        return
    reasons = F.concat(F.array_compact(F.array("_reason")), F.transform("_mended", lambda entry: entry["reason"]))
    position = F.coalesce(F.col("position").cast("string"), F.try_element_at(F.filter("_mended", _concerns("position")), F.lit(1))["value"])
    values = {"event_type": F.col("event_type"), "position": position, "day": F.col("event_date").cast("string")}
    groups = F.array(*[F.struct(F.lit(what).alias("what"), value.alias("value")) for what, value in values.items()])
    placed = frame.select(F.explode(groups).alias("at"), F.concat(F.array(F.lit(EVERY)), reasons).alias("reasons")).where(
        "at.value is not null"
    )
    counts = placed.select("at", F.explode("reasons").alias("reason")).groupBy("at", "reason").agg(F.count("*").alias("n"))
    by_group = counts.groupBy("at").agg(F.max("n").alias("total"), F.collect_list(F.struct("n", "reason")).alias("found"))
    whole = by_group.where(F.col("total") >= LEAST).select("at", "total", F.explode("found").alias("one"))
    lost = whole.where((F.col("one.n") == F.col("total")) & (F.col("one.reason") != EVERY))
    for row in lost.orderBy(F.desc("total"), "at", "one.reason").limit(SHOWN).collect():
        yield f"{row['one']['reason']}: all {row['total']:,} rows of {row['at']['what']} {str(row['at']['value'])[:SHORT]}"


def write_findings(warehouse: Path, findings: Findings) -> None:
    """Commit the findings beside the table."""
    with store.staged(warehouse / f"findings_{findings.table}") as folder:
        store.write_json(folder / FILE, asdict(findings))


def read_findings(warehouse: Path, name: str) -> Findings:
    """Return the findings of the delivery that was cleaned last; empty for a table that follows from the events' ids."""
    from pydantic import TypeAdapter

    dataset = warehouse / f"findings_{name}"
    if not store.is_committed(dataset):
        return Findings(name)
    return TypeAdapter(Findings).validate_json((store.committed_folder(dataset) / FILE).read_text())

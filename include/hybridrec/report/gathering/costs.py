"""Read the cost of each task from the records of the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybridrec.execution import task_records
from hybridrec.report.facts import Step


def steps(folder: Path, durations: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the tasks of a run or of a source's ingest, in the order of their start, the report itself apart.

    durations: seconds that the scheduler states for a task, by step name; the excess over the process is its overhead.
    """
    return tuple(_step(record, durations) for record in task_records.read_records(folder) if record.job != "write_report")


def _step(record: task_records.TaskRecord, durations: Mapping[str, float]) -> Step:
    name = step_name(record)
    around = durations[name] - record.wall_seconds if name in durations else None
    return Step(
        name=name,
        state=record.state,
        startup_seconds=round(record.startup_seconds, 3),
        spark_seconds=round(record.spark_seconds, 3),
        compute_seconds=round(max(record.wall_seconds - record.startup_seconds - record.spark_seconds, 0.0), 3),
        airflow_seconds=None if around is None else round(max(around, 0.0), 3),
        peak_mib=round(record.peak_mib, 1),
        said=record.said,
    )


def alarm_seconds(folder: Path) -> tuple[float, float]:
    """Return seconds that a run's leak alarms have taken, in a job of their own and within others, and their share of all tasks' time."""
    records = [record for record in task_records.read_records(folder) if record.job != "write_report"]
    spent = sum(record.wall_seconds if record.job == "check_leaks" else record.alarm_seconds for record in records)
    total = sum(record.wall_seconds for record in records)
    return round(spent, 3), round(spent / total, 4) if total else 0.0


def step_name(record: task_records.TaskRecord) -> str:
    """Return a task's name in the report: the job and what tells its tasks apart, as `train_model als full`."""
    return f"{record.job} {record.part.replace('.', ' ')}".strip()

"""The benchmark's arithmetic: shares, what is explained, which Airflow task belongs to which record."""

from __future__ import annotations

from benchmarks.night import Cost, gaps, match_tasks, table
from hybridrec.execution.task_records import TaskRecord


def test_table_adds_up_and_explains_what_is_large() -> None:
    lines = table([Cost("a", 80.0, 2.0, 70.0, 300.0), Cost("b", 15.0, 10.0, 0.0, 900.0), Cost("c", 5.0)])
    assert lines[0].split() == ["task", "seconds", "start-up", "Spark", "compute", "peak", "MiB", "share"]
    assert lines[1].split() == ["a", "80.0", "2.0", "70.0", "8.0", "300", "80%"]
    assert lines[3].split() == ["c", "5.0", "5%"]
    assert lines[5].split() == ["sum", "100.0", "12.0", "70.0", "18.0", "900", "100%"]
    assert lines[-2:] == ["a takes 80%, most of it Spark", "b takes 15%, most of it start-up"]


def test_what_airflow_added_is_not_compute() -> None:
    lines = table([Cost("a", 10.0, 2.0, 3.0, 100.0, 1.5)])
    assert lines[1].split() == ["a", "10.0", "2.0", "3.0", "3.5", "1.5", "100", "100%"]


def test_mapped_tasks_are_told_apart_by_their_start() -> None:
    records = [TaskRecord("train_model", "als.full", started_at=10.9), TaskRecord("train_model", "als.ranker", started_at=2.0)]
    records.sort(key=lambda record: record.started_at)
    states = [state("train.train_model", 10, 19), state("train.train_model", 1, 5), state("open_run", 0, 1)]
    assert [(record.part, seconds) for record, seconds in match_tasks(states, records)] == [("als.ranker", 4.0), ("als.full", 9.0)]


def test_gaps_between_tasks_are_the_schedulers() -> None:
    states = [state("a", 0, 4), state("b", 3, 6), state("c", 8, 10)]
    assert gaps(states) == ["from the first task's start to the last one's end 10.0 s; in 2.0 s of it no task was running"]
    assert gaps([{"task_id": "a", "start_date": "", "end_date": ""}]) == ["no task has ended"]


def state(task_id: str, start: int, end: int) -> dict[str, str]:
    return {"task_id": task_id, "start_date": f"2026-01-01T00:00:{start:02d}+00:00", "end_date": f"2026-01-01T00:00:{end:02d}+00:00"}

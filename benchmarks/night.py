"""Measure the cost of a night, task by task: `python -m benchmarks.night`, or `make bench-night`.

Each world is ingested and one night runs over it, job by job in the DAG's order, one at a time, without a scheduler.
The table says for every task how its time divides into start-up (interpreter and imports), Spark (waiting for it) and
compute, its process's peak memory, and its share of the night. A sampler adds up the resident memory of all
processes, the Spark server and its workers included; pages that processes share count once for each.

    python -m benchmarks.night --world movielens_100k
    python -m benchmarks.night --airflow-run RUN_ID      Airflow's share of a night that it ran
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridrec_airflow.steps import Step

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "include")]

import psutil  # noqa: E402

from hybridrec.base.settings import Settings  # noqa: E402
from hybridrec.execution import job, spark, task_records  # noqa: E402
from hybridrec.report.gathering.costs import step_name  # noqa: E402

LARGE_SHARE = 0.1  # of the night; a task above it is explained below the table
SAMPLE_SECONDS = 0.25
PACKAGES = ("apache-airflow", "pyspark", "mlflow", "great-expectations", "torch", "lightgbm", "implicit", "numpy", "pyarrow")


@dataclass(frozen=True)
class World:
    """A data set and its size: options are written to the home's hybridrec.toml. limit_mib: what a night may use.

    models: of the night; all of them when there are none.
    """

    source: str
    limit_mib: int
    options: str = ""
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorldCost:
    """Cost of ingest and night of a world. peak_mib: of all processes together, Spark included. largest_mib: of one process."""

    tasks: tuple[Cost, ...]
    peak_mib: float
    largest_mib: float = 0.0

    @property
    def seconds(self) -> float:
        """All tasks in sequence."""
        return sum(cost.wall for cost in self.tasks)


WORLDS = {
    "movielens_100k": World("movielens_100k", 4096),
    "synthetic_1m": World("synthetic", 8192, "[sources.synthetic]\nn_events = 1_000_000\nn_users = 16_000\nn_items = 5_000\n"),
}


@dataclass(frozen=True)
class Cost:
    """One task; wall is its whole time. startup and spark are None where the job keeps no record.

    airflow: what the scheduler added, a part of wall.
    """

    name: str
    wall: float
    startup: float | None = None
    spark: float | None = None
    peak_mib: float | None = None
    airflow: float | None = None

    @property
    def compute(self) -> float | None:
        """Remaining time."""
        return None if self.startup is None or self.spark is None else max(self.wall - self.startup - self.spark - (self.airflow or 0), 0.0)


class Sampler:
    """The highest sum of resident memory of this process's children and a Spark server while it runs, and the largest of one process."""

    def __init__(self, settings: Settings, sessions: Sequence[str]) -> None:
        self.peak_mib = self.largest_mib = 0.0
        self._settings, self._sessions = settings, sessions
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        """Sample while the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            resident = self._resident_mib()
            self.peak_mib = max(self.peak_mib, sum(resident))
            self.largest_mib = max(self.largest_mib, *resident, 0.0)

    def _resident_mib(self) -> list[float]:
        family = {process.pid: process for process in psutil.Process().children(recursive=True)}
        for name in self._sessions:
            with suppress(psutil.Error):
                if server := spark.running_server(self._settings, name):
                    root = psutil.Process(server.pid)
                    family |= {process.pid: process for process in (root, *root.children(recursive=True))}
        found = []
        for process in family.values():
            with suppress(psutil.Error):
                found.append(process.memory_info().rss / 2**20)
        return found


def run_world(name: str, world: World, home: Path) -> WorldCost:
    """Ingest a world and run a night over it, printing what each task cost."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "hybridrec.toml").write_text(world.options)
    os.environ["HYBRIDREC_HOME"] = str(home)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    settings = Settings.from_env()
    run_id = f"bench_{name}"
    dags = [("ingest", settings.warehouse(world.source)), ("nightly_retrain", settings.runs / run_id)]
    try:
        parts = [_run_dag(dag_id, run_id, world, records, settings) for dag_id, records in dags]
    finally:
        for session in (run_id, f"ingest.{run_id}"):
            spark.stop_server(settings, session)  # one is left where a job has failed
    peak, largest = max(part.peak_mib for part in parts), max(part.largest_mib for part in parts)
    found = WorldCost(tuple(cost for part in parts for cost in part.tasks), peak, largest)
    verdict = "below" if found.peak_mib < world.limit_mib else "ABOVE"
    print(f"peak memory on {name}: {found.peak_mib:,.0f} MiB, {verdict} the limit of {world.limit_mib:,} MiB", flush=True)
    return found


def _run_dag(dag_id: str, run_id: str, world: World, records: Path, settings: Settings) -> WorldCost:
    """Run a DAG's jobs and print what each cost."""
    from hybridrec_airflow.steps import steps

    plan = steps(dag_id, run_id, {"source": world.source} | ({"models": list(world.models)} if world.models else {}))
    with Sampler(settings, sorted({step.session for step in plan if step.session} | {run_id, f"ingest.{run_id}"})).running() as sampler:
        costs, failure = _run_steps(plan, settings.home)
    costs = _with_records(costs, task_records.read_records(records))
    print(f"\n{dag_id} of {run_id}, {sum(cost.wall for cost in costs):.0f} s one task after the other\n")
    print("\n".join(table(costs)))
    print(f"\nall processes together, Spark included: at most {sampler.peak_mib:,.0f} MiB at a time,", end=" ")
    print(f"one process {sampler.largest_mib:,.0f} MiB", flush=True)
    if failure:
        sys.exit(failure)
    return WorldCost(tuple(costs), sampler.peak_mib, sampler.largest_mib)


def _run_steps(plan: Sequence[Step], home: Path) -> tuple[list[Cost], str]:
    """Run jobs in sequence; returns their costs and, after a failure, the end of its log."""
    costs = []
    for step in plan:
        cost, failure = _run_step(step, home)
        costs.append(cost)
        if failure:
            return costs, failure
    return costs, ""


def _run_step(step: Step, home: Path) -> tuple[Cost, str]:
    from hybridrec_local.process import environment

    log = home / "bench-logs" / f"{step.task}.log"
    log.parent.mkdir(exist_ok=True)
    started = time.perf_counter()
    with log.open("w") as out:
        code = subprocess.run(step.command, cwd=ROOT, env=environment(step.session), stdout=out, stderr=out, check=False).returncode
    cost = Cost(step.task, time.perf_counter() - started)
    if code in (0, job.EXIT_SKIPPED):
        return cost, ""
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    return cost, f"{step.task} ended with exit code {code}:\n{tail}"


def _with_records(costs: Sequence[Cost], records: Sequence[task_records.TaskRecord]) -> list[Cost]:
    """Return costs with what the jobs have noted about themselves; both are in the order of their start."""
    left = list(records)
    found = []
    for cost in costs:
        task = cost.name.split(".")
        record = next((record for record in left if record.job in task and set(filter(None, record.part.split("."))) <= set(task)), None)
        if record is None:
            found.append(cost)
            continue
        left.remove(record)
        found.append(replace(cost, startup=record.startup_seconds, spark=record.spark_seconds, peak_mib=record.peak_mib))
    return found


def table(costs: Sequence[Cost]) -> list[str]:
    """Return the costs as aligned lines with a total, and a sentence on each task that takes a large share."""
    night = sum(cost.wall for cost in costs) or 1.0
    with_airflow = any(cost.airflow is not None for cost in costs)
    heads = ["task", "seconds", "start-up", "Spark", "compute", *(["Airflow"] if with_airflow else []), "peak MiB", "share"]
    rows = [_cells(cost, night, with_airflow) for cost in costs]
    total = Cost(
        "sum",
        night,
        sum(cost.startup or 0 for cost in costs),
        sum(cost.spark or 0 for cost in costs),
        max((cost.peak_mib or 0 for cost in costs), default=0),
        sum(cost.airflow or 0 for cost in costs),
    )
    rows.append(_cells(total, night, with_airflow))
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in (heads, *rows)
    ]
    lines.insert(len(lines) - 1, "-" * len(lines[0]))
    return [*lines, "", *_explanations(costs, night)]


def _cells(cost: Cost, night: float, with_airflow: bool) -> list[str]:
    parts = [cost.startup, cost.spark, cost.compute, *([cost.airflow] if with_airflow else [])]
    texts = ["" if part is None else f"{part:.1f}" for part in parts]
    peak = "" if not cost.peak_mib else f"{cost.peak_mib:,.0f}"
    return [cost.name, f"{cost.wall:.1f}", *texts, peak, f"{cost.wall / night:.0%}"]


def _explanations(costs: Sequence[Cost], night: float) -> list[str]:
    lines = []
    for cost in sorted(costs, key=lambda cost: -cost.wall):
        if cost.wall / night >= LARGE_SHARE:
            parts = {"start-up": cost.startup, "Spark": cost.spark, "compute": cost.compute}
            known = {name: seconds for name, seconds in parts.items() if seconds}
            why = max(known, key=lambda name: known[name] or 0) if known else "the process itself, which keeps no record"
            lines.append(f"{cost.name} takes {cost.wall / night:.0%}, most of it {why}")
    return lines


def airflow_costs(dag_id: str, run_id: str) -> tuple[list[dict[str, str]], list[Cost]]:
    """Return a finished run's task states, and what each of its jobs cost: the task's duration minus the job's is Airflow's."""
    states = ask_airflow("tasks", "states-for-dag-run", dag_id, run_id)
    folder = Settings.from_env().runs / run_id.replace(":", "-").replace("+", "-").replace("~", "-")
    pairs = match_tasks(states, task_records.read_records(folder))
    return states, [
        Cost(step_name(record), seconds, record.startup_seconds, record.spark_seconds, record.peak_mib, seconds - record.wall_seconds)
        for record, seconds in pairs
    ]


def ask_airflow(*arguments: str) -> list[dict[str, str]]:
    """Return the answer of Airflow's command line without its log lines."""
    from hybridrec_local.installation import Installation

    command = [sys.executable, "-m", "airflow", *arguments, "--output", "json"]
    done = subprocess.run(command, cwd=ROOT, env=Installation.from_env().environment(), capture_output=True, text=True, check=False)
    answers = [line for line in done.stdout.splitlines() if line.startswith(("[{", "[]"))]
    if done.returncode or not answers:
        sys.exit(f"airflow {' '.join(arguments)} failed: {done.stderr.strip().splitlines()[-1:]}")
    rows: list[dict[str, str]] = json.loads(answers[-1])
    return rows


def show_airflow_run(dag_id: str, run_id: str, out: Path | None) -> None:
    """Print Airflow's overhead for each task of a finished run."""
    states, costs = airflow_costs(dag_id, run_id)
    print(f"\n{dag_id} {run_id} as Airflow ran it\n")
    print("\n".join(table(costs)))
    print("\n".join(gaps(states)))
    if out:
        out.write_text(json.dumps({cost.name: round(cost.wall, 3) for cost in costs}, indent=1))


def match_tasks(
    states: Sequence[Mapping[str, str]], records: Sequence[task_records.TaskRecord]
) -> list[tuple[task_records.TaskRecord, float]]:
    """Return each record with its task's duration; tasks of one job that were mapped are told apart by the order of their start."""
    tasks = defaultdict(list)
    for state in states:
        if state.get("start_date") and state.get("end_date"):
            tasks[state["task_id"].rsplit(".", 1)[-1]].append(_span(state))
    of_job = defaultdict(list)
    for record in records:
        of_job[record.job].append(record)
    pairs = []
    for name, found in of_job.items():
        for record, (start, end) in zip(found, sorted(tasks[name]), strict=False):
            pairs.append((record, end - start))
    return sorted(pairs, key=lambda pair: pair[0].started_at)


def gaps(states: Sequence[Mapping[str, str]]) -> list[str]:
    """Report the duration of the run and the time in which no task was running."""
    spans = sorted(_span(state) for state in states if state.get("start_date") and state.get("end_date"))
    if not spans:
        return ["no task has ended"]
    covered, reached = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    whole = reached - spans[0][0]
    return [f"from the first task's start to the last one's end {whole:.1f} s; in {whole - covered:.1f} s of it no task was running"]


def _span(state: Mapping[str, str]) -> tuple[float, float]:
    start, end = (datetime.fromisoformat(state[key]).timestamp() for key in ("start_date", "end_date"))
    return start, end


def describe_machine() -> list[str]:
    """Describe the machine on which the figures were taken."""
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.splitlines()[:1]
    memory = psutil.virtual_memory().total / 2**30
    load = f"load {os.getloadavg()[0]:.1f}, {psutil.cpu_percent(0.5):.0f} % busy"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, {load}",
        f"Python {platform.python_version()}, {' '.join(java)}",
        packages,
    ]


def main() -> None:
    """Do what the command line says; exit code 1 when a night used more memory than its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", action="append", choices=sorted(WORLDS), help="may be repeated; all of them unless named")
    parser.add_argument("--airflow-run", help="a finished run's id, as the Airflow UI shows it")
    parser.add_argument("--dag", default="nightly_retrain", help="the run's DAG")
    parser.add_argument("--durations", type=Path, help="with --airflow-run: write the tasks' seconds for `jobs.write_report --durations`")
    options = parser.parse_args()
    print("\n".join(describe_machine()), flush=True)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"  # it tells of every file that it parses; no job sees this
    if options.airflow_run:
        show_airflow_run(options.dag, options.airflow_run, options.durations)
        return
    base = Settings.from_env().home / "bench"
    within = [run_world(name, WORLDS[name], base / name).peak_mib < WORLDS[name].limit_mib for name in options.world or sorted(WORLDS)]
    sys.exit(0 if all(within) else 1)


if __name__ == "__main__":
    main()

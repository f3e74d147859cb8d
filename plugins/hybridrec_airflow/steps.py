"""A DAG's jobs in the order of the DAG, as command lines, for nights without a scheduler.

The DAG file stays the one place that says which jobs make a night; benchmarks and fault tests read it from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from jinja2 import Environment, StrictUndefined

from hybridrec_local.process import ROOT, Flag, command_line


@dataclass(frozen=True)
class Step:
    """One job of a DAG: the task's name, the job's, its command line and the name of its Spark server, if any."""

    task: str
    job: str
    command: tuple[str, ...]
    session: str


def steps(dag_id: str, run_id: str, params: Mapping[str, object]) -> list[Step]:
    """Return the jobs of a DAG as a manual run with these params would start them, each after those it waits for.

    params: overrides of the form's defaults. A mapped task becomes one step per combination.
    """
    dag = load_dag(dag_id)
    values = dag.params.dump()
    context = {"run_id": run_id, "params": values | dict(params), "dag_run": SimpleNamespace(run_type="manual", triggering_user_name=None)}
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  command lines, not pages

    def render(value: Any) -> Any:
        return environment.from_string(value).render(context) if isinstance(value, str) else value

    return [step for task in _in_order(dag) for step in _steps_of(task, render, context["params"]["models"] if "models" in values else ())]


def load_dag(dag_id: str) -> DAG:
    """Return the DAG of the file of that name."""
    bag = DagBag(ROOT / "dags" / f"{dag_id}.py")
    if bag.import_errors:
        raise RuntimeError(f"{dag_id} cannot be parsed: {bag.import_errors}")
    return bag.dags[dag_id]


def _in_order(dag: DAG) -> Iterator[Any]:
    """Yield tasks, each after its upstream ones; among those that may start, by name."""
    done: set[str] = set()
    while len(done) < len(dag.task_ids):
        ready = sorted(name for name in dag.task_ids if name not in done and dag.get_task(name).upstream_task_ids <= done)
        done.add(ready[0])
        yield dag.get_task(ready[0])


def _steps_of(task: Any, render: Any, models: Any) -> list[Step]:
    options = task.partial_kwargs if task.is_mapped else vars(task)
    if "job" not in options:
        return []
    flags: dict[str, Flag] = {name: render(value) for name, value in options["flags"].items()}
    axes = (
        {name: values if isinstance(values, list) else list(models) for name, values in task.expand_input.value.items()}
        if task.is_mapped
        else {}
    )
    steps = []
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        name = ".".join((task.task_id, *values))
        steps.append(Step(name, options["job"], tuple(command_line(options["job"], flags | chosen)), render(options["session"])))
    return steps

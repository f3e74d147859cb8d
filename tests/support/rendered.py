"""A DAG as text: what a change of its wiring looks like in a diff."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from hybridrec_airflow.operators import RUN_ID
from hybridrec_local.process import flag_arguments


def rendered(dag: DAG) -> str:
    """Return the DAG's options, then its tasks in topological order; extensions are left out."""
    head = [
        f"dag {dag.dag_id}",
        f"  schedule: {getattr(dag.timetable, 'expression', 'by hand')}",
        f"  catchup: {dag.catchup}, max_active_runs: {dag.max_active_runs}, start_date: {dag.start_date}",
        f"  tags: {', '.join(sorted(dag.tags))}",
        f"  deadline: {', '.join(str(alert.interval) for alert in dag.deadline or ()) or 'none'}",  # type: ignore[union-attr]
        *(f"  param {name}: {_schema(dag.params.get_param(name).schema)}" for name in sorted(dag.params)),
    ]
    text = "\n".join([*head, *(_task(task) for task in dag.topological_sort())]) + "\n"  # type: ignore[no-untyped-call]
    return text.replace(RUN_ID, "<run id>")


def _schema(schema: dict[str, Any]) -> str:
    kept = {
        key: value
        for key, value in schema.items()
        if key not in ("enum", "examples", "items", "title", "description", "description_md", "values_display")
    }
    return ", ".join(f"{key} {value}" for key, value in sorted(kept.items()))


def _task(task: Any) -> str:
    options = task.partial_kwargs if task.is_mapped else vars(task)
    lines = [f"\n{task.task_id}", f"  after: {', '.join(sorted(task.upstream_task_ids)) or '-'}"]
    if "job" in options:
        lines.append(f"  command: python -m jobs.{options['job']} {' '.join(flag_arguments(options['flags']))}")
        lines += [f"  spark server: {options['session']}"] if options["session"] else []
        lines += [f"  needs {name}: {' or '.join(states)}" for name, states in (options.get("needed") or {}).items()]
    if task.is_mapped:
        axes = getattr(task, "expand_input", None)
        lines += [f"  over {axis}: {_axis(values)}" for axis, values in (axes.value.items() if axes else ())]
        lines.append(f"  at once: {options['max_active_tis_per_dagrun']}, label: {options['map_index_template']}")
    roles = [role for role in ("is_setup", "is_teardown", "on_failure_fail_dagrun") if getattr(task, role)]
    lines.append(f"  trigger rule: {getattr(task.trigger_rule, 'value', task.trigger_rule)!s}{', ' if roles else ''}{', '.join(roles)}")
    lines.append(f"  retries: {task.retries}, first after {task.retry_delay}, times {task.retry_exponential_backoff:g}")
    for name in ("inlets", "outlets"):
        assets = [asset.name for asset in options.get(name) or ()]
        lines += [f"  {name}: {', '.join(assets)}"] if assets else []
    return "\n".join(lines)


def _axis(values: Any) -> str:
    return ", ".join(values) if isinstance(values, list) else f"what {values.operator.task_id} returns"

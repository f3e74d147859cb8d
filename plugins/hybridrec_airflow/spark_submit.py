"""Spark jobs on a cluster: the same job files and flags, started by spark-submit (HYBRIDREC_SPARK=submit).

The cluster is an Airflow connection, named by HYBRIDREC_SPARK_CONNECTION. Imported only in that mode, since the
provider's operator costs every parse of every DAG.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

from hybridrec.execution.job import TASK_VARIABLE
from hybridrec_airflow.links import SparkLink
from hybridrec_airflow.outcomes import raise_for_exit_code
from hybridrec_local.process import ROOT, Flag, environment, flag_arguments, job_doc, tell_map_index

if TYPE_CHECKING:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
    from airflow.sdk import Asset, Context
    from airflow.sdk.definitions.mappedoperator import MappedOperator

APPLICATION = re.compile(r"Connected to Spark cluster with app ID (\S+)")
EXECUTOR = re.compile(r"Executor added: (\S+) on \S+ \((\S+):\d+\)")
NOT_STARTED = re.compile(r"Executor updated: (\S+) is now FAILED \((.+)\)")


class SubmittedJobOperator(SparkSubmitOperator):
    """spark-submit whose exit code, which is the job's, decides about the retry."""

    operator_extra_links = (SparkLink(),)
    application_id = ""
    not_started = ""

    def execute(self, context: Context) -> None:
        """Submit the job and wait for its end; it ends with this process, so a retry never meets it."""
        tell_map_index(context)
        self.env_vars = {**(self.env_vars or {}), TASK_VARIABLE: str(os.getpid())}
        try:
            super().execute(context)
        except AirflowException as error:
            process = getattr(self._hook, "_submit_sp", None)
            said = filter(None, (self.not_started, str(error)))
            raise_for_exit_code(self.name, process.returncode if process else 1, list(said))

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        pass_on = hook._process_spark_submit_log
        hook._process_spark_submit_log = lambda lines: pass_on(self._noted(lines))
        return hook

    def _noted(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the driver's log as it comes, noting the application's id for the link, and the last executor that did not start.

        The first id: a slow master may tell another one later.
        """
        workers: dict[str, str] = {}
        for line in lines:
            if (match := APPLICATION.search(line)) and not self.application_id:
                self.application_id = match[1]
            elif match := EXECUTOR.search(line):
                workers[match[1]] = match[2]
            elif match := NOT_STARTED.search(line):
                self.not_started = f"An executor did not start on {workers.pop(match[1], 'a worker')}: {match[2]}"
            yield line


def submitted_job(
    name: str,
    *,
    task_id: str = "",
    over: Mapping[str, Collection[str]] | None = None,
    trigger_rule: str = "all_success",
    inlets: Sequence[Asset] = (),
    outlets: Sequence[Asset] = (),
    **flags: Flag,
) -> SubmittedJobOperator | MappedOperator:
    """Return a task that submits jobs/<name>.py, or, with `over`, one for each combination of the given splits."""
    options = {"task_id": task_id or name, "trigger_rule": trigger_rule, "inlets": list(inlets), "outlets": list(outlets)}
    options |= {
        "name": name,
        "application": str(ROOT / "jobs" / f"{name}.py"),
        "conn_id": os.environ.get("HYBRIDREC_SPARK_CONNECTION", "spark_default"),
        "env_vars": {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": environment("")["PYSPARK_PYTHON"]},
        "doc_md": job_doc(name),
    }
    if not over:
        return SubmittedJobOperator(**options, application_args=flag_arguments(flags))
    choices = [dict(zip(over, values, strict=True)) for values in itertools.product(*over.values())]
    return SubmittedJobOperator.partial(**options, map_index_template="{{ task.application_args[-1] }}").expand(
        application_args=[flag_arguments({**flags, **choice}) for choice in choices]
    )

"""Tasks that run jobs: `python_job` and `spark_job` are all that a DAG file needs.

A task holds a job's name and flags, runs `python -m jobs.<name> --flag=value` from the project's root and turns its
exit code into Airflow's outcome: 0 success, 4 skipped, 2 and 3 failed without a retry, anything else failed and retried.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperator

from hybridrec_airflow.links import links_of
from hybridrec_airflow.outcomes import raise_for_exit_code, require_ended
from hybridrec_local.process import Flag, JobProcess, command_line, job_doc, tell_map_index

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context, XComArg
    from airflow.sdk.definitions.mappedoperator import MappedOperator

# Instances of a mapped task, one more than a small machine's cores: the end of a task is noticed up to a second later.
AT_ONCE = 3
# An Airflow run's id as a file name, the id of the run and of its Spark server: letters, digits, '_', '.' and '-'.
RUN_ID = "{{ run_id | replace(':', '-') | replace('+', '-') | replace('~', '-') }}"


class JobOperator(BaseOperator):
    """Runs one job as a child process.

    job: file name below jobs/. flags: its command line; values may be templates. model, split, origin: flags that a mapped
    task varies. session: name of the Spark server that the job attaches to, empty for none. needed: tasks of the run, and the
    states of which they must have ended in one before the job is run.
    """

    template_fields: Sequence[str] = ("flags", "model", "split", "origin", "session")
    ui_color: ClassVar[str] = "#e8f1f2"

    def __init__(
        self,
        *,
        job: str,
        flags: Mapping[str, Flag],
        model: str | None = None,
        split: str | None = None,
        origin: str | None = None,
        session: str = "",
        needed: Mapping[str, tuple[str, ...]] | None = None,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.job = job
        self.flags = dict(flags)
        self.model = model
        self.split = split
        self.origin = origin
        self.session = session
        self.needed = dict(needed or {})
        self.operator_extra_links = links_of(job)
        self._process: JobProcess | None = None

    @property
    def command(self) -> list[str]:
        """The job's command line as a list."""
        varied = {"model": self.model, "split": self.split, "origin": self.origin}
        return command_line(self.job, self.flags | {name: value for name, value in varied.items() if value})

    def execute(self, context: Context) -> None:
        """Run the job to its end; its output becomes the task's log."""
        if self.needed:
            require_ended(context, self.needed)
        self.log.info("%s", " ".join(self.command))
        tell_map_index(context)
        self._process = JobProcess(self.command, self.session)
        code = self._process.wait(lambda line: self.log.info("%s", line))
        raise_for_exit_code(self.job, code, list(self._process.tail))

    def on_kill(self) -> None:
        """End the job and its children when Airflow ends the task."""
        if self._process:
            self._process.stop()


def python_job(
    name: str,
    *,
    task_id: str = "",
    over: Mapping[str, Collection[str] | XComArg] | None = None,
    trigger_rule: str = "all_success",
    inlets: Sequence[Asset] = (),
    outlets: Sequence[Asset] = (),
    session: str = "",
    needed: Mapping[str, tuple[str, ...]] | None = None,
    **flags: Flag,
) -> JobOperator | MappedOperator:
    """Return a task that runs a job, or, with `over`, one task for each combination of the given models, splits or origins."""
    options = {"task_id": task_id or name, "trigger_rule": trigger_rule, "inlets": list(inlets), "outlets": list(outlets)}
    options |= {"job": name, "flags": flags, "session": session, "doc_md": job_doc(name)}
    if not over:
        return JobOperator(**options, needed=needed)
    label = " ".join(f"{{{{ task.{axis} }}}}" for axis in over)
    return JobOperator.partial(**options, map_index_template=label, max_active_tis_per_dagrun=AT_ONCE).expand(**over)


def spark_job(name: str, *, session: str = RUN_ID, **wiring: object) -> JobOperator | MappedOperator:
    """Return a task that runs a Spark job: attached to the session's Connect server, or by spark-submit (HYBRIDREC_SPARK=submit)."""
    if spark_mode() != "submit":
        return python_job(name, session=session, **wiring)  # type: ignore[arg-type]
    from hybridrec_airflow.spark_submit import submitted_job

    return submitted_job(name, **wiring)  # type: ignore[arg-type]


def spark_server(action: str, session: str = RUN_ID) -> BaseOperator:
    """Return the task `start_spark` or `stop_spark`; an empty task where the jobs use no Connect server."""
    if spark_mode() == "connect":
        name = f"{action}_spark"
        return JobOperator(task_id=name, job=name, flags={"session": session}, doc_md=job_doc(name))
    from airflow.providers.standard.operators.empty import EmptyOperator

    return EmptyOperator(task_id=f"{action}_spark", doc_md="HYBRIDREC_SPARK names another way to run Spark: no server is needed.")


def spark_mode() -> str:
    """Return the value of HYBRIDREC_SPARK: connect, submit, or a master for sessions of their own."""
    return os.environ.get("HYBRIDREC_SPARK", "connect")

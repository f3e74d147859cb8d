"""Start and end a job: its Params are its command line, its exit code is the class of its failure.

Exit codes: 0 done; 2 the command line is wrong; 3 PermanentError, permanent; 4 skipped on purpose; 1 anything else, may be retried.
Each attempt leaves a record of time and memory beside the run, which the report and the benchmarks read.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import gc
import json
import logging
import os
import re
import resource
import sys
import threading
import time
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, dataclass, fields
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import psutil

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.base.private_files import keep_private
from hybridrec.base.settings import Settings
from hybridrec.runs.run import run_folder
from hybridrec.storage import shared_files, store

P = TypeVar("P")
MIB = 2**20
EXIT_PERMANENT = 3
EXIT_SKIPPED = 4
TASK_VARIABLE = "HYBRIDREC_TASK_PID"  # the process of the task that has submitted this job
# Facts about a task that Airflow and our operators give to its process.
MAP_INDEX = "AIRFLOW_CTX_MAP_INDEX"
CONTEXT = ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TASK_ID", MAP_INDEX)
SAID_LENGTH = 1_000  # characters of an error that a record keeps
SECRET_NAME = re.compile(r"PASS(WORD|WD|PHRASE)?$|SECRET|TOKEN|_KEY$|CREDENTIAL")
IN_ADDRESS = re.compile(r"(://[^\s:/@]*):[^\s@]+@")
log = logging.getLogger("hybridrec")


class Skip(Exception):
    """The job has nothing to do, by request; the message says whose."""


@dataclass
class TaskRecord:
    """Cost of one attempt at a job: seconds of wall and CPU time, MiB at the peak of resident memory.

    startup_seconds: from process start to main, interpreter and imports. spark_seconds: spent waiting for Spark.
    alarm_seconds: spent on leak alarms, in Spark or not.
    state: done, skipped, bad_data or failed; running until then, and for good if the process was killed.
    said: the last line of what a failed attempt said, secrets masked. page: path of the task in Airflow's pages, empty from a shell.
    """

    job: str
    part: str
    state: str = "running"
    said: str = ""
    page: str = ""
    started_at: float = 0.0
    startup_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    spark_seconds: float = 0.0
    alarm_seconds: float = 0.0
    peak_mib: float = 0.0


_record = TaskRecord("", "")


def start(main: Callable[[P], None], params_type: type[P], argv: list[str] | None = None) -> typing.NoReturn:
    """Run a job from the command line and exit with the code of its outcome."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    for noisy in ("py4j", "pyspark", "alembic", "great_expectations", "matplotlib", "implicit"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    module = sys.modules[main.__module__]
    name = module.__spec__.name.rsplit(".", 1)[-1] if module.__spec__ else Path(sys.argv[0]).stem
    params = parse(params_type, sys.argv[1:] if argv is None else argv, module.__doc__ or "")
    try:
        keep_private(Settings.from_env())
    except PermanentError as error:  # of the environment: before anything is known of the job's own place
        sys.stderr.write(f"PermanentError in {name}: {error}\n")
        sys.exit(EXIT_PERMANENT)
    code = _run(main, params, name)
    gc.freeze()  # what is left goes with the process: to search all that torch has imported for cycles takes a second or two
    sys.exit(code)


def _run(main: Callable[[P], None], params: P, name: str) -> int:
    values = asdict(params)  # type: ignore[call-overload]
    _record.job, _record.part = name, ".".join(str(values[key]) for key in ("model", "split", "table", "origin") if key in values)
    _record.startup_seconds = _age()
    _record.started_at = time.time() - _record.startup_seconds
    _record.state, _record.said, _record.page = "running", "", airflow_page()
    _end_with_task()
    code, _record.state = _outcome(main, params, name, values)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _record.wall_seconds = time.time() - _record.started_at
    _record.cpu_seconds = usage.ru_utime + usage.ru_stime
    _record.peak_mib = usage.ru_maxrss / 1024
    log.info(
        "%s %s %s: %.1f s, of them start-up %.1f, Spark %.1f; %.0f MiB",
        name,
        _record.part,
        _record.state,
        _record.wall_seconds,
        _record.startup_seconds,
        _record.spark_seconds,
        _record.peak_mib,
    )
    _write_record(values)
    return code


def _age() -> float:
    """Return seconds since this process started, to a hundredth; its start by the wall clock is known to a second only."""
    if sys.platform != "linux":
        return time.time() - psutil.Process().create_time()
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])  # in ticks since boot, proc(5)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _outcome(main: Callable[[P], None], params: P, name: str, values: dict[str, Any]) -> tuple[int, str]:
    try:
        extensions.require_known_skips()
        with _only_attempt(_task_file(values, "lock")):
            _write_record(values)  # an attempt that is killed leaves this one
            main(params)
    except PermanentError as error:
        _say(f"PermanentError in {name}: {error}")
        return EXIT_PERMANENT, "bad_data"
    except Skip as reason:
        log.info("skipped: %s", reason)
        return EXIT_SKIPPED, "skipped"
    except OSError as error:
        sys.stderr.write(traceback.format_exc())
        _say(f"{name} failed: {explain_os_error(error)}")
        return 1, "failed"
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        _say(f"{name} failed: {type(error).__name__}: {_what_it_says(error)}; it may be retried")
        return 1, "failed"
    return 0, "done"


def _say(sentence: str) -> None:
    """Write the last words of a failed attempt to the log, and in short to the record."""
    sys.stderr.write(f"{sentence}\n")
    said = without_secrets(sentence.strip().splitlines()[-1])
    _record.said = said if len(said) <= SAID_LENGTH else f"{said[:SAID_LENGTH]}..."


def without_secrets(text: str) -> str:
    """Replace by *** the value of each environment variable named like a secret, and passwords in addresses."""
    values = {value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= 6}
    for value in sorted(values, key=len, reverse=True):  # one may hold another
        text = text.replace(value, "***")
    return IN_ADDRESS.sub(r"\1:***@", text)


def airflow_page() -> str:
    """Return the path of this task's page, which shows its log, on the server of Airflow's pages; empty for a job from a shell."""
    dag, run, task, index = (os.environ.get(name, "") for name in CONTEXT)
    if not (dag and run and task):
        return ""
    mapped = f"/mapped/{index}" if index.isdigit() else ""
    return f"/dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}/tasks/{quote(task, safe='')}{mapped}"


def _what_it_says(error: Exception) -> str:
    """Return its first line: a Java exception brings its whole stack as its text, below the name of the call and after a colon."""
    first, second, *_ = [*str(error).splitlines(), "", ""]
    return second.removeprefix(": ") if second.startswith(": ") else first


def explain_os_error(error: OSError) -> str:
    """Return one sentence that says what to do about a failed file or network operation."""
    where = error.filename or "the disk"
    sentences = {
        errno.ENOSPC: f"no space left for {where}; free some space or move HYBRIDREC_HOME to a larger disk, then rerun the task",
        errno.EACCES: f"no permission for {where}; give this user the right to write there or move HYBRIDREC_HOME",
        errno.EROFS: f"{where} is on a read-only file system; move HYBRIDREC_HOME to a place that can be written",
        errno.EADDRINUSE: f"the port is taken ({error}); stop the process that holds it or configure another port",
    }
    return sentences.get(error.errno or 0, f"{type(error).__name__}: {error}; it may be retried")


@contextmanager
def spark_time() -> Iterator[None]:
    """Count the seconds of the block as time spent in Spark."""
    started = time.perf_counter()
    try:
        yield
    finally:
        _record.spark_seconds += time.perf_counter() - started


@contextmanager
def alarm_time() -> Iterator[None]:
    """Count the seconds of the block as time spent on leak alarms."""
    started = time.perf_counter()
    try:
        yield
    finally:
        _record.alarm_seconds += time.perf_counter() - started


def read_records(folder: Path) -> list[TaskRecord]:
    """Return the task records below a run's or a warehouse's folder, in the order of their start."""
    names = [name for name in shared_files.children(folder / "tasks") if name.endswith(".json")]
    records = [TaskRecord(**json.loads(shared_files.read_text(folder / "tasks" / name))) for name in names]
    return sorted(records, key=lambda record: record.started_at)


def _write_record(values: dict[str, Any]) -> None:
    path = _task_file(values, "json")
    try:
        if path and shared_files.children(path.parent.parent):
            shared_files.write_text(path, store.as_json(asdict(_record)))
    except (OSError, PermanentError) as error:  # the record is a courtesy: it must not turn a success into a failure
        log.warning("no task record: %s", explain_os_error(error) if isinstance(error, OSError) else error)


def _task_file(values: dict[str, Any], suffix: str) -> Path | None:
    """Return a file of this task below its run or its source's warehouse; None for a job that belongs to neither."""
    settings = Settings.from_env()
    name = f"{_record.job}.{_record.part}" if _record.part else _record.job
    if "run_id" in values:
        return run_folder(settings, values["run_id"]) / "tasks" / f"{name}.{suffix}"
    return settings.warehouse(values["source"]) / "tasks" / f"{name}.{suffix}" if values.get("source") else None


@contextmanager
def _only_attempt(path: Path | None) -> Iterator[None]:
    """Wait until no other attempt at this task is at work; the lock goes with the process, whatever ends it."""
    if path is None or not path.parent.parent.exists():
        yield
        return
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as handle:
        os.register_at_fork(after_in_child=handle.close)  # a worker that outlives this process must not hold it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another attempt is still at work; waiting for its end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _end_with_task() -> None:
    """End this process when the one that TASK_VARIABLE names has ended: spark-submit would go on without the task that started it."""
    if not os.environ.get(TASK_VARIABLE):
        return
    task = psutil.Process(int(os.environ[TASK_VARIABLE]))

    def watch() -> None:
        task.wait()
        log.error("the task that started this job has ended, so it ends too")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def parse(params_type: type[P], argv: list[str], doc: str = "") -> P:
    """Return Params from a command line: one flag a field, nothing abbreviated, nothing else accepted."""
    parser = argument_parser(params_type, doc)
    return params_type(**vars(parser.parse_args(argv)))


def argument_parser(params_type: type[Any], doc: str = "") -> argparse.ArgumentParser:
    """Return the command line of a Params dataclass; a field without default is a required flag."""
    parser = argparse.ArgumentParser(description=doc, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = typing.get_type_hints(params_type)
    for field in fields(params_type):
        parser.add_argument(*_flags(field), dest=field.name, **_argument(hints[field.name], field))
    return parser


def renamed(former: str, value: Callable[[str], str]) -> Any:
    """Return a required text of Params whose flag had a former name, which is still taken. value: turns a former value into today's."""
    return dataclass_field(metadata={"former": former, "value": value})


def _flags(field: Field[Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in (field.name, field.metadata.get("former", "")) if name]


def _argument(hint: Any, field: Field[Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"required": True}
    if field.default is not MISSING:
        options = {"default": field.default}
    optional = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return options | {"type": optional[0]}
    if typing.get_origin(hint) is Literal:
        return options | {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        return options | {"type": _names}
    if hint is bool:
        return options | {"action": argparse.BooleanOptionalAction}
    return options | {"type": field.metadata.get("value", hint)}


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def environment() -> dict[str, str]:
    """Return the environment that a job's process needs beyond its parent's."""
    return {
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": str(Path.cwd()),
        # glibc would return each large block to the kernel and ask for it again at the next batch: a sixth of a network's fit
        "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),  # the largest that it takes
        "MALLOC_TRIM_THRESHOLD_": str(512 * MIB),
    }

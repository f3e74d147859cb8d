"""Start and end a job: its Params are its command line, its exit code is the class of its failure.

Exit codes: 0 done; 2 the command line is wrong; 3 PermanentError, permanent; 4 skipped on purpose; 1 anything else, may be retried.
Each attempt leaves a record of time and memory beside the run, which the report and the benchmarks read.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
import threading
import time
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import psutil

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.base.private_files import keep_private
from hybridrec.base.settings import Settings
from hybridrec.execution.command_line import parse
from hybridrec.execution.task_records import airflow_page, current, task_file, without_secrets, write_record
from hybridrec.storage import locks

P = TypeVar("P")
MIB = 2**20
EXIT_PERMANENT = 3
EXIT_SKIPPED = 4
SAID_LENGTH = 1_000  # characters of an error that a record keeps
TASK_VARIABLE = "HYBRIDREC_TASK_PID"  # the process of the task that has submitted this job
log = logging.getLogger("hybridrec")


class Skip(Exception):
    """The job has nothing to do, by request; the message says whose."""


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
    current.job, current.part = name, ".".join(str(values[key]) for key in ("model", "split", "table", "origin") if key in values)
    current.startup_seconds = _age()
    current.started_at = time.time() - current.startup_seconds
    current.state, current.said, current.page = "running", "", airflow_page()
    _end_with_task()
    code, current.state = _outcome(main, params, name, values)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    current.wall_seconds = time.time() - current.started_at
    current.cpu_seconds = usage.ru_utime + usage.ru_stime
    current.peak_mib = usage.ru_maxrss / 1024
    log.info(
        "%s %s %s: %.1f s, of them start-up %.1f, Spark %.1f; %.0f MiB",
        name,
        current.part,
        current.state,
        current.wall_seconds,
        current.startup_seconds,
        current.spark_seconds,
        current.peak_mib,
    )
    write_record(values)
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
        with _only_attempt(task_file(values, "lock")):
            write_record(values)  # an attempt that is killed leaves this one
            main(params)
    except PermanentError as error:
        _record_error(f"PermanentError in {name}: {error}")
        return EXIT_PERMANENT, "bad_data"
    except Skip as reason:
        log.info("skipped: %s", reason)
        return EXIT_SKIPPED, "skipped"
    except OSError as error:
        sys.stderr.write(traceback.format_exc())
        _record_error(f"{name} failed: {explain_os_error(error)}")
        return 1, "failed"
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        _record_error(f"{name} failed: {type(error).__name__}: {_what_it_says(error)}; it may be retried")
        return 1, "failed"
    return 0, "done"


def _record_error(sentence: str) -> None:
    """Write the last words of a failed attempt to the log, and in short to the record."""
    sys.stderr.write(f"{sentence}\n")
    last_error = without_secrets(sentence.strip().splitlines()[-1])
    current.said = last_error if len(last_error) <= SAID_LENGTH else f"{last_error[:SAID_LENGTH]}..."


def _what_it_says(error: Exception) -> str:
    """Return its first line: a Java exception brings its whole stack as its text, below the name of the call and after a colon."""
    first, second, *_ = [*str(error).splitlines(), "", ""]
    return second.removeprefix(": ") if second.startswith(": ") else first


@contextmanager
def _only_attempt(path: Path | None) -> Iterator[None]:
    """Wait until no other attempt at this task is at work; the lock goes with the process, whatever ends it."""
    if path is None or not path.parent.parent.exists():
        yield
        return
    with locks.exclusive(path, waiting="another attempt is still at work; waiting for its end"):
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

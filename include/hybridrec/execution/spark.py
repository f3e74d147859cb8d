"""The Spark session of a job, and the one Spark Connect server that the jobs of a night share.

A job calls `session()` and keeps to the DataFrame API, so the same file runs in three ways:
attached to the night's Connect server on one machine (some 4 s a job instead of 20), started by spark-submit on a
cluster, or with its own session (`HYBRIDREC_SPARK=local[2]`) in tests and from a shell.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from hybridrec.base.errors import PermanentError
from hybridrec.base.private_files import UMASK, write_private
from hybridrec.base.settings import Settings
from hybridrec.base.waiting import first_true
from hybridrec.execution import processes
from hybridrec.execution.task_records import spark_time
from hybridrec.storage import locks, shared_files, store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
SESSION_VARIABLE = "HYBRIDREC_SPARK_SESSION"  # name of the night's server, set by the task that runs the job
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105  where Spark's server and its clients look for their token
START_SECONDS = 120.0
LARGE_GIGABYTES = 4  # who gives a server so much expects a lot of data
# Settings that affect a job's results and files: the same in every session, whatever a cluster's own defaults are.
RESULTS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "snappy",
    "spark.hadoop.fs.permissions.umask-mode": "077",  # Hadoop sets the rights of some folders itself
    # a year of daily files is listed by the driver; as a distributed job it costs seconds
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "4096",
}
CONF = RESULTS | {  # a session on this machine
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "4",  # files do not depend on it: what is written says how many it wants
    # each client's workers would stay for a minute after it is gone: at a job every five seconds they come to gigabytes
    "spark.python.worker.reuse": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # The driver and its block manager listen too, and unpack Java objects, only for clients with the secret that Spark draws for itself.
    "spark.authenticate": "true",
}


@dataclass(frozen=True)
class Server:
    """A running Connect server. token: what a client has to show, since a client's Python runs with our rights."""

    pid: int
    started_at: float
    port: int
    token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Address for clients. By the name localhost: Spark's client sends a token to a number only over TLS."""
        return f"sc://localhost:{self.port}"

    def connect(self) -> SparkSession:
        """Return a session with it, for a client in this process."""
        from pyspark.sql import SparkSession

        os.environ[TOKEN_VARIABLE] = self.token
        return SparkSession.builder.remote(self.url).getOrCreate()


def session() -> SparkSession:
    """Return the session of this job: the cluster's under spark-submit, the night's server's, or its own."""
    settings = Settings.from_env()
    with spark_time():
        if shared_files.SUBMITTED in os.environ:
            return _submitted_session(settings)
        require_java()
        name = os.environ.get(SESSION_VARIABLE)
        if name and settings.spark == "connect":
            return start_server(settings, name).connect()
        return _own_session(settings)


def _submitted_session(settings: Settings) -> SparkSession:
    """Return the session of a job that spark-submit has started: master and resources are its flags, the rest is ours."""
    from pyspark.sql import SparkSession

    conf = RESULTS | {"spark.executorEnv.PYTHONPATH": os.environ.get("PYTHONPATH", "")}  # an executor has its node's otherwise
    if settings.is_remote:
        conf |= {"spark.executorEnv.HYBRIDREC_HOME": str(settings.home), "spark.executorEnv.HYBRIDREC_STORAGE": settings.storage}
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    if settings.is_remote:
        _require_s3a(session, settings)
    return session


def _require_s3a(session: SparkSession, settings: Settings) -> None:
    """Raise PermanentError with the remedy unless the cluster's Hadoop can read the storage's address."""
    from py4j.protocol import Py4JJavaError

    hadoop = session.sparkContext._jvm.org.apache.hadoop
    try:
        hadoop.fs.FileSystem.getFileSystemClass("s3a", session.sparkContext._jsc.hadoopConfiguration())
    except Py4JJavaError:
        raise PermanentError(
            f"HYBRIDREC_SPARK=submit: this cluster cannot read {settings.storage}, it has no S3A; add its jars "
            f"(spark.jars.packages org.apache.hadoop:hadoop-aws:{hadoop.util.VersionInfo.getVersion()}), let HYBRIDREC_STORAGE name "
            "a folder that all of its machines share, or run Spark on one machine with HYBRIDREC_SPARK=connect"
        ) from None


def _own_session(settings: Settings) -> SparkSession:
    from pyspark.sql import SparkSession

    # with `submit` too: only Spark jobs are submitted, and a fit or a source may want a session
    master = f"local[{settings.threads}]" if settings.spark in ("connect", "submit") else settings.spark
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(master).config("spark.driver.memory", settings.spark_memory)
    conf = CONF | _folders(settings)
    conf["spark.driver.extraJavaOptions"] = _temporary_files(Path(conf["spark.local.dir"]))
    if not master.startswith("local"):  # a cluster has its own secret, or none
        conf.pop("spark.authenticate")
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _folders(settings: Settings) -> dict[str, str]:
    """Return the folders that Spark writes. Iterative fits need checkpoints: their plans grow until the stack is full."""
    names = {"spark.local.dir": "scratch", "spark.sql.warehouse.dir": "warehouse", "spark.checkpoint.dir": "checkpoints"}
    return {key: str(settings.home / "spark" / folder) for key, folder in names.items()}


def _temporary_files(folder: Path) -> str:
    """Return Java's option that keeps its temporary files in a folder of ours, which is made.

    Below /tmp Spark makes a folder with a known name, spark_connect_model_cache: another user who creates it first, or a link of that
    name, would decide its place and whether sessions start. It also loads libraries that it has unpacked there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return f'"-Djava.io.tmpdir={folder}"'


def require_java() -> None:
    """Raise PermanentError with the remedy unless Java 17 or newer can be started."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    remedy = "Spark needs Java 17 or newer; install it, on Debian or Ubuntu: apt-get install openjdk-17-jre-headless"
    if not java or not Path(java).exists():
        raise PermanentError(f"no Java found (JAVA_HOME={home or 'unset'}, none on PATH). {remedy}")
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', text)
    if not match or int(match[1]) < 17:
        raise PermanentError(f"{java} is {match[1] if match else 'no Java'}: {text.splitlines()[:1]}. {remedy}")


def start_server(settings: Settings, name: str) -> Server:
    """Return the Connect server of that name, started if it is not running; many jobs may ask at once."""
    state = _state_path(settings, name)
    with locks.exclusive(state.with_suffix(".lock")):
        running = running_server(settings, name)
        if running and running.token and _listens(running.port):
            return running
        stop_server(settings, name)  # one that lives and does not listen is dying or stuck, one without a token serves anybody
        server = _launch(settings, state.with_suffix(".log"))
        write_private(state, store.as_json(asdict(server)))
        return server


def running_server(settings: Settings, name: str) -> Server | None:
    """Return the server of that name if its process lives."""
    try:
        server = Server(**json.loads(_state_path(settings, name).read_text()))
    except FileNotFoundError:
        return None
    return server if processes.alive(server.pid, server.started_at) else None


def stop_server(settings: Settings, name: str) -> float:
    """Stop the server if it runs; returns its peak resident memory with its workers in MiB, 0 when none ran."""
    server = running_server(settings, name)
    if not server:
        return 0.0
    peak = _peak_mib(server.pid)
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        os.killpg(server.pid, signal.SIGTERM)
        try:
            psutil.Process(server.pid).wait(timeout=20)
        except psutil.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
    state = _state_path(settings, name)
    state.unlink(missing_ok=True)
    shutil.rmtree(_scratch(state), ignore_errors=True)
    return peak


def stop_servers(settings: Settings) -> int:
    """Stop the servers of all nights; returns how many ran."""
    names = [state.stem for state in sorted(_state_path(settings, "any").parent.glob("*.json"))]
    running = [name for name in names if running_server(settings, name)]
    for name in running:
        stop_server(settings, name)
    return len(running)


def _scratch(path: Path) -> Path:
    """Return the folder of temporary files for the server of this state or log: it leaves some of each session."""
    return path.with_suffix(".tmp")


def server_peak_mib(settings: Settings, name: str) -> float:
    """Return peak resident memory of the running server with its workers in MiB; 0 when none runs."""
    server = running_server(settings, name)
    return _peak_mib(server.pid) if server else 0.0


def class_archive() -> Path:
    """Return the path of the parsed and checked classes that a server loads at its start, beside their jars."""
    return Path(_spark_home()) / "hybridrec-classes.jsa"


def archive_classes(settings: Settings, work: Callable[[SparkSession], None]) -> None:
    """Keep the classes of a server that has done some work: later ones start in half the time, and their first job is faster.

    JEP 350, dynamic archives. A Java of another version passes over the archive. Nothing is done where pyspark's folder cannot be written.
    """
    archive = class_archive()
    if not os.access(archive.parent, os.W_OK):
        return
    require_java()
    archive.unlink(missing_ok=True)  # of other jars, or another Java
    fresh = archive.with_suffix(".new")
    server = _launch(settings, _state_path(settings, "archive").with_suffix(".log"), f'"-XX:ArchiveClassesAtExit={fresh}"')
    try:
        session = server.connect()
        work(session)
        session.stop()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        psutil.Process(server.pid).wait(timeout=START_SECONDS)
        shutil.rmtree(_scratch(_state_path(settings, "archive")), ignore_errors=True)
    fresh.replace(archive)


def _launch(settings: Settings, log_path: Path, java_option: str = "") -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    conf = {
        **CONF,
        **_folders(settings),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.maxInboundMessageSize": str(512 * 2**20),
        "spark.pyspark.python": sys.executable,
        **_sized(settings.spark_memory),
    }
    if class_archive().exists():
        java_option = f'"-XX:SharedArchiveFile={class_archive()}"'
    conf["spark.driver.extraJavaOptions"] += f" {_temporary_files(_scratch(log_path))} {java_option}"
    flags = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    master = f"local[{settings.threads}]"
    bin_folder = Path(_spark_home()) / "bin"
    command = [
        str(bin_folder / "spark-class"),
        "org.apache.spark.deploy.SparkSubmit",
        "--master",
        master,
        *flags,
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "spark-internal",
    ]
    token = secrets.token_urlsafe(32)
    environment = os.environ | {
        TOKEN_VARIABLE: token,
        "SPARK_HOME": _spark_home(),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
    }
    with log_path.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, start_new_session=True, umask=UMASK
        )
    _wait_until_listening(process, port, log_path)
    return Server(process.pid, psutil.Process(process.pid).create_time(), port, token)


def _sized(memory: str) -> dict[str, str]:
    """Return a small server compiles quickly, which halves the start-up on two cores; a large one thoroughly, for work of minutes.

    On ten million events the thorough compiler cleans in two thirds of the time; on twenty thousand a night takes a tenth longer.
    A large one also shuffles in more parts, so that a part of a hundred million rows is sorted in memory.
    """
    gigabytes = re.fullmatch(r"(\d+)g", memory.lower())
    large = gigabytes is not None and int(gigabytes[1]) >= LARGE_GIGABYTES
    return {
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC" + ("" if large else " -XX:TieredStopAtLevel=1"),
    } | ({"spark.sql.shuffle.partitions": "32"} if large else {})


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    if first_true(lambda: process.poll() is not None or _listens(port), START_SECONDS, every=0.2) and process.poll() is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    tail = log_path.read_text(errors="replace").splitlines()[-5:]
    raise RuntimeError(f"the Spark Connect server did not start within {START_SECONDS:.0f} s; the end of {log_path}: {tail}")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _spark_home() -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent)


def _peak_mib(pid: int) -> float:
    peak = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                status = Path(f"/proc/{process.pid}/status").read_text()
                match = re.search(r"VmHWM:\s+(\d+) kB", status)
                peak += int(match[1]) / 1024 if match else 0.0
    return peak


def _state_path(settings: Settings, name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,160}", name):
        raise PermanentError(f"Spark session name {name!r}: letters, digits, '_', '.' and '-' only")
    folder = settings.home / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.json"

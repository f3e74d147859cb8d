"""Start, stop and use Airflow and MLflow on this machine: `python -m hybridrec_local.services up|down|status|run`.

Airflow is four processes and MLflow one, each with a log and a pid file below <home>/airflow. They listen on 127.0.0.1
only; HYBRIDREC_AIRFLOW_PORT and HYBRIDREC_MLFLOW_PORT move them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.base.private_files import keep_private, make_private_folder, require_own, tighten
from hybridrec.base.waiting import first_true
from hybridrec.execution.spark import require_java, stop_servers
from hybridrec_local import dag_run
from hybridrec_local.daemon import CannotStart, Daemon, say, tail
from hybridrec_local.installation import Installation
from hybridrec_local.process import ROOT
from hybridrec_local.rest import DIRECT, AirflowApi

START_SECONDS = 240.0
MLFLOW = "mlflow"
AIRFLOW = ("scheduler", "dag-processor", "triggerer", "api-server")  # the order in which they stop
STOP_ORDER = (*AIRFLOW, MLFLOW)


@dataclass(frozen=True)
class Service:
    """One of the processes, whether it runs or not."""

    name: str
    installation: Installation

    @property
    def daemon(self) -> Daemon:
        """Its process with its log and pid file."""
        return Daemon(self.name, self.installation.logs / f"{self.name}.log", self.installation.home / f"{self.name}.pid")

    @property
    def port(self) -> int | None:
        """The port that it listens on."""
        return {"api-server": self.installation.airflow_port, MLFLOW: self.installation.mlflow_port}.get(self.name)

    def start(self) -> None:
        """Start it unless it runs."""
        if not self.daemon.process():
            self.daemon.start(self._command(), self._environment())

    def _environment(self) -> dict[str, str]:
        """Return the environment of all, and for MLflow its own folder for temporary files.

        In /tmp it would read sessions and write locks with known names, which another user may have made before.
        """
        if self.name != MLFLOW:
            return self.installation.environment()
        scratch = self.installation.settings.home / "mlflow" / "scratch"
        make_private_folder(scratch)
        return self.installation.environment() | {"TMPDIR": str(scratch)}

    def _command(self) -> list[str]:
        if self.name in ("scheduler", "triggerer"):
            # Their servers of logs would listen on all of this machine's addresses; the api-server reads the same files itself.
            return [sys.executable, "-m", "airflow", self.name, "--skip-serve-logs"]
        if self.name != MLFLOW:
            return [sys.executable, "-m", "airflow", self.name]
        settings = self.installation.settings
        store_flags = ["--backend-store-uri", settings.mlflow_uri, "--default-artifact-root", settings.mlflow_artifacts.as_uri()]
        flags = ["--port", str(self.installation.mlflow_port), "--readers", str(self.installation.passwords)]
        return [sys.executable, "-m", "hybridrec_local.mlflow_server", *store_flags, *flags]


def start_services(installation: Installation, names: Sequence[str] = STOP_ORDER) -> None:
    """Start those services that do not run and wait until all answer; CannotStart says what is in the way."""
    services = [Service(name, installation) for name in reversed(names)]
    for service in services:
        if service.port and not service.daemon.process():
            _require_free_port(service.port, service.name)
    installation.write()
    _close_to_others(installation)
    _migrate(installation)
    for service in services:
        service.start()
    services[0].daemon.require_alive(first_true(lambda: _are_up(services), START_SECONDS, every=0.5))


def _close_to_others(installation: Installation) -> None:
    """Close the home to others: one of an earlier version lets them read it."""
    if n_open := tighten(installation.settings):
        say(f"{n_open} files and folders below {installation.settings.home} were open to other users of this machine; they are closed now")


def stop_services(installation: Installation, names: Sequence[str] = STOP_ORDER) -> list[str]:
    """Stop what runs of them, the scheduler first so that no new task starts; returns the names."""
    chosen = [name for name in STOP_ORDER if name in names]
    return [name for name in chosen if Service(name, installation).daemon.stop()]


def running(installation: Installation) -> list[str]:
    """List the names of the services that run."""
    return [name for name in STOP_ORDER if Service(name, installation).daemon.process()]


def connect(installation: Installation) -> AirflowApi:
    """Return a session as admin with the running Airflow."""
    return AirflowApi(installation.airflow_url, "admin", installation.password("admin"))


def _require_free_port(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            variable = "HYBRIDREC_MLFLOW_PORT" if name == MLFLOW else "HYBRIDREC_AIRFLOW_PORT"
            advice = f"stop it, or set {variable} to a free port"
            raise CannotStart(f"port {port}, which {name} needs, is taken by {_holder(port)} ({error.strerror}); {advice}") from None


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another process"


def _migrate(installation: Installation) -> None:
    """Bring both databases to the installed versions, side by side, unless that was done before."""
    uri = installation.settings.mlflow_uri
    commands = {"apache-airflow": ["airflow", "db", "migrate"]}
    if uri.startswith("sqlite"):
        commands["mlflow"] = ["mlflow", "db", "upgrade", uri]
    started = {}
    for package, command in commands.items():
        if not installation.is_migrated(package):
            out = (installation.logs / f"migrate-{package}.log").open("wb")
            started[package] = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=installation.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
    for package, child in started.items():
        if child.wait() != 0:
            path = installation.logs / f"migrate-{package}.log"
            raise CannotStart(f"the database of {package} cannot be prepared; the end of {path}:\n{tail(path)}")
        installation.note_migrated(package)


def _is_healthy(service: Service) -> bool:
    path = {"api-server": "/api/v2/monitor/health", MLFLOW: "/health"}.get(service.name)
    if path is None:
        return service.daemon.process() is not None
    with contextlib.suppress(httpx.RequestError):
        return DIRECT.get(f"http://127.0.0.1:{service.port}{path}", timeout=5).status_code == 200
    return False


def _are_up(services: list[Service]) -> bool:
    """Return whether all answer; CannotStart if one has ended."""
    if all(_is_healthy(service) for service in services):
        return True
    for service in services:
        service.daemon.require_alive(service.daemon.process() is not None)
    return False


@contextmanager
def _airflow_for_a_run(installation: Installation, keep: bool) -> Iterator[AirflowApi]:
    """Yield the running Airflow, or one that is started for this run only and stopped after it."""
    # The triggerer would only report a run of more than four hours; stopping it takes a quarter of a minute.
    names = AIRFLOW if keep else [name for name in AIRFLOW if name != "triggerer"]
    alive = running(installation)
    needed = [name for name in names if name not in alive]
    # Ours starts nothing by the clock; MLflow's server is only for looking, jobs write to its database directly.
    os.environ.setdefault("HYBRIDREC_SCHEDULE", "off")
    try:
        start_services(installation, names)
        yield connect(installation)
    finally:
        if needed and not keep:
            say("stopping Airflow")
            stop_services(installation, needed)


def up(installation: Installation) -> int:
    """Start everything and say where it is."""
    say("starting Airflow and MLflow (half a minute)")
    start_services(installation)
    say(f"Airflow  {installation.airflow_url}   user admin, password {installation.password('admin')}")
    say(f"         read only: user viewer, password {installation.password('viewer')}   (both in {installation.passwords})")
    say(f"Reports  {installation.airflow_url}/hybridrec/")
    say(f"MLflow   {installation.mlflow_url}   the same users")
    say(_schedule(installation))
    say("Stop them with `make stop`.")
    return 0


def _schedule(installation: Installation) -> str:
    """Return whether anything starts by itself; the obstacle if Airflow cannot answer."""
    if "api-server" not in running(installation):
        return dag_run.NOT_RUNNING
    try:
        return dag_run.schedule_sentence(connect(installation))
    except RuntimeError as error:
        return f"Schedule: {error}"


def down(installation: Installation) -> int:
    """Stop everything, also the Spark servers of nights that are at work: the tasks that would stop them do not run any more."""
    stopped = stop_services(installation)
    if n_servers := stop_servers(installation.settings):
        stopped.append(f"Spark of {n_servers} {'night' if n_servers == 1 else 'nights'}")
    say(f"stopped: {', '.join(stopped) or 'nothing was running'}")
    return 0


def status(installation: Installation) -> int:
    """Say what runs; exit code 1 unless everything does."""
    alive = running(installation)
    for name in STOP_ORDER:
        service = Service(name, installation)
        address = f"   http://127.0.0.1:{service.port}" if service.port else ""
        say(f"{name:<14} {'running' if name in alive else 'stopped'}{address}   log {service.daemon.log}")
    return 0 if len(alive) == len(STOP_ORDER) else 1


def run(installation: Installation, options: argparse.Namespace) -> int:
    """Ingest a source and run a night through Airflow; exit code 1 when either fails."""
    require_java()
    started = time.monotonic()
    conf = {"source": options.source} | ({"k": options.k} if options.k is not None else {})
    with _airflow_for_a_run(installation, options.keep) as api:
        say(f"Airflow is up after {time.monotonic() - started:.0f} s: {installation.airflow_url}")
        done = dag_run.run_dag(api, "ingest", {"source": options.source}, say) and dag_run.run_dag(api, "nightly_retrain", conf, say)
        if done:
            dag_run.show_result(installation.settings, options.user_id, say)
    say(_schedule(installation))
    say(f"{'done' if done else 'FAILED'} after {time.monotonic() - started:.0f} s; `make ui` shows runs, reports and models in the browser")
    return 0 if done else 1


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="services", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for action, function in (("up", up), ("down", down), ("status", status)):
        actions.add_parser(action, help=function.__doc__)
    parser_run = actions.add_parser("run", help=run.__doc__)
    parser_run.add_argument("--source", default="movielens_100k", choices=extensions.names("sources"))
    parser_run.add_argument("--k", type=int, default=None, help="items a user gets")
    parser_run.add_argument("--user-id", default="", help="whose list to show at the end; empty: the first user's")
    parser_run.add_argument("--keep", action="store_true", help="leave Airflow running")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Do what the command line says."""
    options = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    try:
        installation = Installation.from_env()
        require_own(installation.settings.home)
        keep_private(installation.settings)
        if options.action == "run":
            return run(installation, options)
        return {"up": up, "down": down, "status": status}[options.action](installation)
    except (CannotStart, PermanentError) as error:
        say(str(error))
        return 1
    except OSError as error:  # a full disk, another user's folder
        say(explain_os_error(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The production topology without containers: `python -m hybridrec_local.topology up|down|status [SERVICE ...]`.

Starts the services of docker-compose.yaml by their own commands, environment, order and health checks. A service has a separate address on
the loopback network and a folder below <home>/cluster, in place of its name and of the paths that the file mounts; nothing else is changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.base.private_files import PASS_THROUGH, keep_private, make_private_folder
from hybridrec.base.settings import Settings
from hybridrec_local import compose, postgres_image
from hybridrec_local.compose import Mount, Service, Topology
from hybridrec_local.daemon import CannotStart, Daemon, say
from hybridrec_local.process import ROOT
from hybridrec_local.rest import AirflowApi

FILE = ROOT / "docker-compose.yaml"
IMAGE_FOLDER = "/srv/hybridrec"  # where the image has this repository
START_SECONDS = 300.0
CHECK_SECONDS = 30.0
POLL_SECONDS = 0.5
NOT_HERE = {
    "prometheus": "Debian's Prometheus is of version 2 and takes no OpenTelemetry; its configuration is checked by a test",
    "grafana": "no package registry has it; its dashboard is checked by a test",
}
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME", "JDK_JAVA_OPTIONS", "PYTHONPATH")
DEFAULTS = {"AIRFLOW_METRICS": "False"}  # there is no receiver
FIRST_STORE_PORTS = 200  # hundreds: those of the network 127.77.0 begin with 20000


@dataclass(frozen=True, eq=False)
class Cluster:
    """The services on this machine.

    network: the first three numbers of their addresses. machine: what they have of this machine's environment, in place of an image's.
    """

    folder: Path
    network: str
    topology: Topology = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    machine: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_env(cls) -> Cluster:
        """Read the environment: files below <home>/cluster, secrets made at first use, addresses by HYBRIDREC_CLUSTER_NETWORK."""
        folder = Settings.from_env().home / "cluster"
        env_file = folder / "secrets.env"
        subprocess.run([sys.executable, str(ROOT / "deploy" / "make_secrets.py"), str(env_file)], check=True)
        network = os.environ.get("HYBRIDREC_CLUSTER_NETWORK", "127.77.0")
        ports = {"STORE_PORTS": str(FIRST_STORE_PORTS + int(network.rsplit(".", 1)[1]))}
        topology = compose.read(FILE, DEFAULTS | ports | os.environ)
        variables = compose.read_env_file(env_file)
        secrets = {name: variables[variable] for name, variable in topology.secrets.items()}
        machine = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return cls(folder, network, topology, secrets, machine)

    @cached_property
    def instances(self) -> dict[str, Instance]:
        """One for each process, by name, in the order in which they start."""
        by_name: dict[str, Instance] = {}
        for service in self.topology.in_order():
            if service.name not in NOT_HERE:
                names = [service.name] if service.replicas == 1 else [f"{service.name}-{n}" for n in range(1, service.replicas + 1)]
                by_name |= {name: Instance(name, service, self, f"{self.network}.{10 + len(by_name) + n}") for n, name in enumerate(names)}
        return by_name

    def address(self, service: str) -> str:
        """Return the address of a service, of its first process where it has several."""
        return next((instance.address for instance in self.instances.values() if instance.service.name == service), f"{self.network}.9")

    def volume(self, name: str) -> Path:
        """Return the folder of a volume."""
        return self.folder / "volumes" / name

    def url(self, service: str) -> str:
        """Return address of a service's pages."""
        return f"http://{self.address(service)}:{next(iter(self.topology.services[service].ports.values()))}"

    def connect(self, user: str) -> AirflowApi:
        """Return a session with the running Airflow as one of its users."""
        return AirflowApi(self.url("api-server"), user, json.loads(self.secrets["airflow_users"])[user])

    def chosen(self, names: Sequence[str]) -> list[Instance]:
        """Return the processes of these services, all for none; PermanentError for a name that is not there."""
        unknown = set(names) - {name for instance in self.instances.values() for name in (instance.name, instance.service.name)}
        if unknown:
            raise PermanentError(f"{sorted(unknown)}: not here; choose from {', '.join(self.instances)}")
        return [instance for instance in self.instances.values() if not names or instance.name in names or instance.service.name in names]

    def start(self, names: Sequence[str] = ()) -> None:
        """Start what does not run, each as soon as those that it depends on are up; CannotStart tells what is in the way."""
        waiting = self._to_start(names)
        starting: list[tuple[Instance, subprocess.Popen[bytes]]] = []
        deadline = time.monotonic() + START_SECONDS
        while waiting or starting:
            pending = {instance.service.name for instance in (*waiting, *(instance for instance, _ in starting))}
            ready = [instance for instance in waiting if not instance.service.after.keys() & pending]
            waiting = [instance for instance in waiting if instance not in ready]
            starting += [(instance, instance.start()) for instance in ready]
            for instance, _ in starting:
                instance.daemon.require_alive(time.monotonic() < deadline)
            starting = [(instance, child) for instance, child in starting if not self._is_up(instance, child)]
            time.sleep(POLL_SECONDS)

    def _to_start(self, names: Sequence[str]) -> list[Instance]:
        """Return the instances that should run and do not; a service that ends only if another one waits for that."""
        idle = [instance for instance in self.chosen(names) if not instance.daemon.process()]
        needed = {name for instance in idle for name in instance.service.after} | set(names)
        return [instance for instance in idle if instance.service.name in needed or instance.service.name not in self.topology.one_shots()]

    def _is_up(self, instance: Instance, child: subprocess.Popen[bytes]) -> bool:
        code = child.poll()
        if instance.service.name in self.topology.one_shots():
            instance.daemon.require_alive(code in (None, 0))
            return code == 0
        instance.daemon.require_alive(code is None)
        return instance.is_healthy()

    def stop(self, names: Sequence[str] = ()) -> list[str]:
        """Stop what runs, those first that others do not depend on; returns the names."""
        return [instance.name for instance in reversed(self.chosen(names)) if instance.stop()]

    def running(self) -> list[str]:
        """List the names of the processes that run."""
        return [name for name, instance in self.instances.items() if instance.daemon.process()]


@dataclass(frozen=True, eq=False)
class Instance:
    """One process of a service, in place of one container."""

    name: str
    service: Service
    cluster: Cluster
    address: str

    @property
    def folder(self) -> Path:
        """Replacement of the container's own file system, its log and its pid file."""
        return self.cluster.folder / "services" / self.name

    @property
    def daemon(self) -> Daemon:
        """Its process."""
        return Daemon(self.name, self.folder / "log", self.folder / "pid.json")

    @property
    def user(self) -> str | None:
        """Whom root becomes for it: a user whom the file names. The image's own user, a number, is this one."""
        return self.service.user if os.geteuid() == 0 and self.service.user.isalpha() else None

    def _prepare(self) -> None:
        """Make its folders, secrets and configuration files again; a service with its own user can reach its own files."""
        for folder in (self.cluster.folder.parent, self.cluster.folder, self.folder.parent, self.cluster.folder / "volumes"):
            make_private_folder(folder, PASS_THROUGH)
        for mount in self.service.volumes:
            self._own(self.path_of(mount), folder=True)
        for mount in self.service.secrets:
            self._write(mount, self.cluster.secrets[mount.source])
        for mount in self.service.configs:
            self._write(mount, self.translated(self.cluster.topology.configs[mount.source].read_text()))

    def start(self) -> subprocess.Popen[bytes]:
        """Start its process; an empty PostgreSQL server is set up first, as its image does it."""
        self._prepare()
        if self.service.command[0] == "postgres":
            postgres_image.initialise(self.environment(), self.user, self.address, self.folder / "docker-entrypoint-initdb.d")
        return self.daemon.start(self.command(), self.environment(), self.user)

    def stop(self) -> bool:
        """Stop it if it runs; returns whether it did."""
        return self.daemon.stop(signal.Signals[self.service.stop_signal])

    def is_healthy(self) -> bool:
        """Return whether its own health check says so."""
        command = [self.translated(word) for word in self.service.check]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, timeout=CHECK_SECONDS, check=False)
            return done.returncode == 0
        return False

    def command(self) -> list[str]:
        """Return its command here; a program that is not found is CannotStart."""
        command = [self.translated(word) for word in self.service.command]
        if not shutil.which(command[0], path=self.environment()["PATH"]):
            raise CannotStart(f"{self.name} needs the program {command[0]}, which is not on this machine; make cluster installs it")
        return command

    def environment(self) -> dict[str, str]:
        """Return its environment here: what the file says, and of this machine what an image would bring.

        A container's name leads to its own address, which Spark's processes listen on and tell each other; here they are told.
        """
        path = os.pathsep.join([str(Path(sys.executable).parent), *postgres_image.programs(), self.cluster.machine["PATH"]])
        own = {"PATH": path, "SPARK_LOCAL_IP": self.address, "SPARK_LOCAL_HOSTNAME": self.address}
        services = self.cluster.topology.services
        said = {
            name: self.cluster.address(value) if name.endswith("_HOST") and value in services else self.translated(value)
            for name, value in self.service.environment.items()
        }
        return {**self.cluster.machine, **own, **said}

    def path_of(self, mount: Mount) -> Path:
        """Return the local path of a path of the service."""
        shared = mount in self.service.volumes and mount.source
        return self.cluster.volume(mount.source) if shared else self.folder / mount.target.lstrip("/")

    def translated(self, text: str) -> str:
        """Return a text of the file with the paths and addresses that hold here."""
        paths = self._paths()
        inside = "|".join(re.escape(target) for target in sorted(paths, key=len, reverse=True))
        text = re.sub(rf"(?<![\w.-])({inside})(?![\w-])", lambda match: str(paths[match[1]]), text)
        services = self.cluster.topology.services
        publishers = {port: service.name for service in services.values() for port in service.ports}

        def published(match: re.Match[str]) -> str:
            publisher = publishers.get(int(match[1]))
            return f"{self.cluster.address(publisher) if publisher else self.address}:{match[1]}"

        text = re.sub(r"\b(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d+)", published, text)
        text = re.sub(r"\b(?:127\.0\.0\.1|0\.0\.0\.0)\b", self.address, text)
        return re.sub(rf"(?<![\w.-])({'|'.join(services)})(?=:\d)", lambda match: self.cluster.address(match[1]), text)

    def _paths(self) -> dict[str, Path]:
        """Map each inner path to its local one. Configuration and secrets by their folder."""
        files = {str(Path(mount.target).parent): self.path_of(mount).parent for mount in (*self.service.configs, *self.service.secrets)}
        return {IMAGE_FOLDER: ROOT} | files | {mount.target: self.path_of(mount) for mount in self.service.volumes}

    def _write(self, mount: Mount, text: str) -> None:
        path = self.path_of(mount)
        self._own(path.parent, folder=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        self._own(path)

    def _own(self, path: Path, *, folder: bool = False) -> None:
        if folder:
            for parent in reversed([parent for parent in path.parents if parent.is_relative_to(self.folder)]):
                make_private_folder(parent, PASS_THROUGH if self.user else 0o700)
            make_private_folder(path)
        if self.user:
            shutil.chown(path, self.user, self.user)


def up(cluster: Cluster, names: Sequence[str]) -> int:
    """Start all services, or these."""
    say("starting the cluster (some two minutes)")
    cluster.start(names)
    users = cluster.secrets["airflow_users"]
    say(f"Airflow        {cluster.url('api-server')}   users and passwords: {users}")
    for title, service in (("MLflow", "mlflow"), ("Spark", "spark-master"), ("Spark history", "spark-history"), ("Look-ups", "lookup")):
        say(f"{title:<14} {cluster.url(service)}")
    for name, reason in NOT_HERE.items():
        say(f"{name} is not here: {reason}")
    say("Stop it with `make cluster-stop`.")
    return 0


def down(cluster: Cluster, names: Sequence[str]) -> int:
    """Stop all services, or these."""
    say(f"stopped: {', '.join(cluster.stop(names)) or 'nothing was running'}")
    return 0


def status(cluster: Cluster, names: Sequence[str]) -> int:
    """Say what runs; exit code 1 unless everything does that should."""
    shown = [one for one in cluster.chosen(names) if one.service.name not in cluster.topology.one_shots()]
    for one in shown:
        say(f"{one.name:<16} {one.address:<14} {'running' if one.daemon.process() else 'stopped'}   log {one.daemon.log}")
    return 0 if all(one.daemon.process() for one in shown) else 1


def main(argv: Sequence[str]) -> int:
    """Do what the command line says."""
    actions = {"up": up, "down": down, "status": status}
    parser = argparse.ArgumentParser(prog="topology", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=actions)
    parser.add_argument("services", nargs="*", help="all of them if none is named")
    options = parser.parse_args(argv)
    keep_private(Settings.from_env())
    try:
        return actions[options.action](Cluster.from_env(), options.services)
    except (CannotStart, PermanentError) as error:
        say(str(error))
    except OSError as error:
        say(explain_os_error(error))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

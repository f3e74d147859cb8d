"""docker-compose.yaml as plain values: what of the Compose specification our file uses, variables filled in.

A part of the specification that is not known here is refused by name, so that no line of the file is silently without effect
where `topology` starts the same services without containers.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hybridrec.base.errors import PermanentError

COMPLETED = "service_completed_successfully"
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<operator>:-|:\?)(?P<word>[^}]*))?\})")
USED = {"command", "environment", "user", "volumes", "configs", "secrets", "depends_on", "healthcheck", "ports", "deploy", "stop_signal"}
# Keys of a container engine that do not apply to a process on this machine.
OF_CONTAINERS = {"build", "image", "restart", "networks", "cap_drop", "security_opt", "shm_size"}


@dataclass(frozen=True)
class Mount:
    """Something at a path inside a service: a volume, a config or a secret by its name; "" for a folder of the service's own."""

    source: str
    target: str


@dataclass(frozen=True)
class Service:
    """A service of the file. after: what it waits for and in which condition. check: its health check's command, () for none.

    ports: those that it publishes on the host, by their number there.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    volumes: tuple[Mount, ...]
    configs: tuple[Mount, ...]
    secrets: tuple[Mount, ...]
    after: Mapping[str, str]
    check: tuple[str, ...]
    ports: Mapping[int, int]
    replicas: int
    stop_signal: str


@dataclass(frozen=True)
class Topology:
    """The services in the order of the file. configs: files by name. secrets: environment variables by name."""

    services: Mapping[str, Service]
    configs: Mapping[str, Path]
    secrets: Mapping[str, str]

    def in_order(self) -> list[Service]:
        """Return each service after those that it depends on."""
        done: dict[str, Service] = {}
        while len(done) < len(self.services):
            ready = [service for name, service in self.services.items() if name not in done and service.after.keys() <= done.keys()]
            done |= {service.name: service for service in ready}
        return list(done.values())

    def one_shots(self) -> set[str]:
        """List the names of the services that run to their end before others start."""
        return {name for service in self.services.values() for name, condition in service.after.items() if condition == COMPLETED}


def read(path: Path, variables: Mapping[str, str]) -> Topology:
    """Read the file with its variables filled in; PermanentError for a missing variable or an unknown key."""
    document = _filled(yaml.safe_load(path.read_text()), variables)
    return Topology(
        {name: _service(name, raw) for name, raw in document["services"].items()},
        {name: path.parent / raw["file"] for name, raw in document["configs"].items()},
        {name: raw["environment"] for name, raw in document["secrets"].items()},
    )


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    unknown = raw.keys() - USED - OF_CONTAINERS
    if unknown:
        raise PermanentError(
            f"docker-compose.yaml, {name}: {sorted(unknown)} is not known here; expected some of {sorted(USED | OF_CONTAINERS)}"
        )
    command = raw.get("command", ())
    return Service(
        name=name,
        command=tuple(shlex.split(command) if isinstance(command, str) else command),
        environment={key: str(value) for key, value in raw.get("environment", {}).items()},
        user=str(raw.get("user", "")),
        volumes=tuple(_volume(text) for text in raw.get("volumes", ())),
        configs=tuple(Mount(config["source"], config["target"]) for config in raw.get("configs", ())),
        secrets=tuple(Mount(secret["source"], f"/run/secrets/{secret['source']}") for secret in raw.get("secrets", ())),
        after={other: wait["condition"] for other, wait in raw.get("depends_on", {}).items()},
        check=tuple(raw.get("healthcheck", {}).get("test", ("CMD",))[1:]),
        ports=dict(_port(text) for text in raw.get("ports", ())),
        replicas=int(raw.get("deploy", {}).get("replicas", 1)),
        stop_signal=raw.get("stop_signal", "SIGTERM"),
    )


def _volume(text: str) -> Mount:
    source, colon, target = text.partition(":")
    return Mount(source, target) if colon else Mount("", source)


def _port(text: str) -> tuple[int, int]:
    _, host, inside = text.split(":")
    return int(host), int(inside)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _value(match, variables), value)
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    return [_filled(inner, variables) for inner in value] if isinstance(value, list) else value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    value = variables.get(match["name"], "")
    if not value and match["operator"] == ":?":
        raise PermanentError(f"docker-compose.yaml needs {match['name']}: {match['word']}")
    return value or match["word"] or ""


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of an env file as `deploy/make_secrets.py` writes it."""
    return dict(_assignments(path.read_text()))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition("=")
        yield name, json.loads(value) if value.startswith('"') else value.removeprefix("'").removesuffix("'")

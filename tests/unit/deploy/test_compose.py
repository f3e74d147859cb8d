"""The compose file and the image: valid, without a secret, with as few rights as will do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

COMPOSE = ROOT / "docker-compose.yaml"
DOCUMENT = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
LINTER = Path(sys.executable).with_name("hadolint")


def test_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_nothing_in_the_image() -> None:
    done = subprocess.run([str(LINTER), "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_is_in_the_file_or_in_an_environment() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", variable):
                assert "/run/secrets" in value, f"{name}: {variable} must be a file below /run/secrets"
    assert not re.search(r"//\w+:[^/@ ]+@", COMPOSE.read_text()), "an address holds a password"
    assert all(set(secret) == {"environment"} for secret in DOCUMENT["secrets"].values())


def test_the_env_file_has_every_secret(tmp_path: Path) -> None:
    from hybridrec_local.compose import read_env_file

    subprocess.run([sys.executable, str(ROOT / "deploy/make_secrets.py"), str(tmp_path / "deep" / "env")], check=True)
    values = read_env_file(tmp_path / "deep" / "env")
    assert values.keys() == {secret["environment"] for secret in DOCUMENT["secrets"].values()}
    assert json.loads(values["SECRET_AIRFLOW_USERS"]).keys() == _airflow_users()
    assert values["SECRET_STORE_MLFLOW"].splitlines()[:2] == ["[default]", "aws_access_key_id=mlflow"]


def test_an_env_file_of_an_earlier_version_gets_what_it_lacks(tmp_path: Path) -> None:
    from hybridrec_local.compose import read_env_file

    path = tmp_path / "env"
    path.write_text("SECRET_AIRFLOW_FERNET='what connections are encrypted with'\n")
    for _ in range(2):
        subprocess.run([sys.executable, str(ROOT / "deploy/make_secrets.py"), str(path)], check=True)
    assert read_env_file(path)["SECRET_AIRFLOW_FERNET"] == "what connections are encrypted with"
    assert len(path.read_text().splitlines()) == len(DOCUMENT["secrets"])


def _airflow_users() -> set[str]:
    users = SERVICES["api-server"]["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    return {user.split(":")[0] for user in users.split(",")}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_has_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r":v?\d[\w.-]*$", service["image"]), "images are pinned"
    assert service["restart"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), "ports on loopback only"
    waited_for = {wait["condition"] for other in SERVICES.values() for wait in [other.get("depends_on", {}).get(name)] if wait}
    assert ("healthcheck" in service) == (waited_for != {"service_completed_successfully"})
    secrets = service.get("secrets", ())
    assert all(secret["mode"] in (0o400, 0o600) and secret["uid"] == secrets[0]["uid"] for secret in secrets)


def test_everything_that_is_named_is_declared() -> None:
    for service in SERVICES.values():
        for kind in ("configs", "secrets"):
            assert {used["source"] for used in service.get(kind, ())} <= DOCUMENT[kind].keys()
        named = {text.split(":")[0] for text in service.get("volumes", ()) if not text.startswith("/")}
        assert named <= DOCUMENT["volumes"].keys()
    assert all((ROOT / config["file"]).is_file() for config in DOCUMENT["configs"].values())
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == len(set(ports))


def test_monitoring_asks_pages_that_are_there() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    static = [target for job in prometheus["scrape_configs"] for group in job.get("static_configs", ()) for target in group["targets"]]
    for target in static:
        name, port = target.split(":")
        assert name == "127.0.0.1" or f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]
    data_source = yaml.safe_load((ROOT / "deploy/grafana/datasource.yaml").read_text())["datasources"][0]
    board = json.loads((ROOT / "deploy/grafana/night.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {data_source["uid"]}

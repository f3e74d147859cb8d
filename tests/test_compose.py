"""The compose file is valid and holds no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

COMPOSE = Path(__file__).parent.parent / "docker-compose.yaml"


def test_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_come_from_outside_and_ports_stay_on_loopback() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        for variable, value in service["environment"].items() if "environment" in service else ():
            if any(word in variable for word in ("PASSWORD", "SECRET", "SQL_ALCHEMY_CONN")) and "SIMPLE_AUTH" not in variable:
                assert "${" in value, f"{name}: {variable} must come from the environment"
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), f"{name}: ports on loopback only"

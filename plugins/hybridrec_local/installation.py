"""Airflow's own folder, <home>/airflow: its settings, its secrets, its users.

Everything stands in one airflow.cfg that only this user may read, so no secret is in an environment that jobs inherit,
and `AIRFLOW_HOME=<home>/airflow .venv/bin/airflow ...` works from a shell.
"""

from __future__ import annotations

import configparser
import json
import os
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from hybridrec.base.errors import PermanentError
from hybridrec.base.private_files import write_private
from hybridrec.base.settings import Settings
from hybridrec_local.process import ROOT

USERS = ("admin", "viewer")
PARALLEL_TASKS = 4


@dataclass(frozen=True)
class Installation:
    """Locations and ports of this machine's Airflow and MLflow."""

    settings: Settings
    airflow_port: int
    mlflow_port: int

    @classmethod
    def from_env(cls) -> Installation:
        """Return ports from HYBRIDREC_AIRFLOW_PORT and HYBRIDREC_MLFLOW_PORT, folders from HYBRIDREC_HOME."""
        return cls(Settings.from_env(), _port("HYBRIDREC_AIRFLOW_PORT", 8080), _port("HYBRIDREC_MLFLOW_PORT", 5000))

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.settings.home / "airflow"

    @property
    def logs(self) -> Path:
        """Logs of the services themselves; those of the tasks are beside it."""
        return self.home / "logs" / "services"

    @property
    def passwords(self) -> Path:
        """User names and passwords of the UI, readable by this user only."""
        return self.home / "passwords.json"

    @property
    def airflow_url(self) -> str:
        """Address of the Airflow UI."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow UI."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def password(self, user: str) -> str:
        """Return the password of a user of the UI."""
        return str(json.loads(self.passwords.read_text())[user])

    def write(self) -> None:
        """Write airflow.cfg and, once, the secrets."""
        for folder in (self.logs, self.settings.home / "mlflow" / "artifacts"):
            folder.mkdir(parents=True, exist_ok=True)
        write_private(self.home / "airflow.cfg", _render(_options(self, _secrets(self.home / "secrets.json"))))
        if not self.passwords.exists():
            write_private(self.passwords, json.dumps({user: secrets.token_urlsafe(12) for user in USERS}))

    def environment(self) -> dict[str, str]:
        """Return the environment of the services, which the tasks inherit."""
        quiet = {"SCARF_NO_ANALYTICS": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}
        quiet |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # three idle processes of 250 MB that only the GenAI pages use
        hosts = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), "127.0.0.1,localhost")))
        own = {"AIRFLOW_HOME": str(self.home), "HYBRIDREC_HOME": str(self.settings.home), "HYBRIDREC_MLFLOW_URL": self.mlflow_url}
        return dict(os.environ) | quiet | own | {"NO_PROXY": hosts, "no_proxy": hosts}

    def is_migrated(self, package: str) -> bool:
        """Return whether the database of airflow or mlflow has been brought to the installed version."""
        return self._stamp(package).exists()

    def note_migrated(self, package: str) -> None:
        """Remember that the database is at the installed version: the check itself takes ten seconds."""
        self._stamp(package).touch()

    def _stamp(self, package: str) -> Path:
        return self.home / f"migrated-{package}-{version(package)}"


def _options(installation: Installation, keys: dict[str, str]) -> dict[str, dict[str, object]]:
    home, url = installation.home, installation.airflow_url
    return {
        "core": {
            "dags_folder": ROOT / "dags",
            "plugins_folder": ROOT / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": PARALLEL_TASKS,
            "max_active_tasks_per_dag": PARALLEL_TASKS,
            "fernet_key": "",
            "dagbag_import_timeout": 120,
            "execution_api_server_url": f"{url}/execution/",
            "simple_auth_manager_users": ",".join(f"{user}:{user}" for user in USERS),
            "simple_auth_manager_passwords_file": installation.passwords,
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home}/airflow.db"},
        "api": {
            "host": "127.0.0.1",
            "port": installation.airflow_port,
            "base_url": url,
            "workers": 1,
            "secret_key": keys["api"],
            "instance_name": "hybridrec",
        },
        "api_auth": {"jwt_secret": keys["jwt"]},
        # Airflow sets the rights of its logs itself, for a group that may read them.
        "logging": {
            "base_log_folder": home / "logs",
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
        # A task's end may be noticed this much later (default 5 s), and until then its place is taken.
        "workers": {"min_heartbeat_interval": 1},
        # A changed DAG file is read at once whatever the interval; an import of it, as a new model, is noticed this much later (default 30
        # s).
        "dag_processor": {"parsing_processes": 1, "dag_file_processor_timeout": 180, "min_file_process_interval": 120},
        "usage_data_collection": {"enabled": False},
    }


def _render(options: dict[str, dict[str, object]]) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(options)
    lines = ["# Written at every start; put lasting changes into AIRFLOW__SECTION__KEY variables."]
    for section in parser.sections():
        lines += ["", f"[{section}]", *(f"{key} = {value.replace('%', '%%')}" for key, value in parser.items(section))]
    return "\n".join(lines) + "\n"


def _secrets(path: Path) -> dict[str, str]:
    """Return the keys that sign tokens and sessions, made on first use."""
    if not path.exists():
        write_private(path, json.dumps({"jwt": secrets.token_hex(64), "api": secrets.token_hex(32)}))
    return dict(json.loads(path.read_text()))


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise PermanentError(f"{variable} is {text!r}, expected the number of a port, 1 to 65535")
    return int(text)

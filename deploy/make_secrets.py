"""Make the deployment's secrets once: `make_secrets.py FILE` writes an env file that only its owner reads, unless it is there.

docker-compose.yaml hands each service those it needs, as files below /run/secrets. The standard library is enough to run this.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path

LOGINS = {"AIRFLOW": "airflow", "MLFLOW": "mlflow", "PUBLISHER": "publisher", "READER": "hybridrec_reader"}
USERS = ("admin", "operator", "viewer")


def make() -> dict[str, str]:
    """New values by the name of their variable. PGPASS_*: a line of a .pgpass file, which is how PostgreSQL's clients take a password."""
    keys = {
        "SECRET_POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_AIRFLOW_JWT": secrets.token_hex(64),
        "SECRET_AIRFLOW_KEY": secrets.token_hex(32),
        "SECRET_AIRFLOW_FERNET": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "SECRET_AIRFLOW_USERS": json.dumps({user: secrets.token_urlsafe(12) for user in USERS}),
        "SECRET_GRAFANA_PASSWORD": secrets.token_urlsafe(12),
    }
    return keys | {f"SECRET_PGPASS_{name}": f"*:*:*:{login}:{secrets.token_urlsafe(24)}" for name, login in LOGINS.items()}


def write(path: Path) -> None:
    """Write new secrets; those that are there stay."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.writelines(f"{name}='{value}'\n" for name, value in make().items())


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Make the deployment's secrets once: `make_secrets.py FILE` writes an env file that only its owner reads; existing values stay.

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
BUCKETS = ("mlflow", "tables")  # each with a user of its name who may use it and no other


def make() -> dict[str, str]:
    """Return new values by variable. PGPASS_*: a line of a .pgpass file, the form in which PostgreSQL's clients read a password."""
    keys = {
        "SECRET_POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_AIRFLOW_JWT": secrets.token_hex(64),
        "SECRET_AIRFLOW_KEY": secrets.token_hex(32),
        "SECRET_AIRFLOW_FERNET": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "SECRET_AIRFLOW_USERS": json.dumps({user: secrets.token_urlsafe(12) for user in USERS}),
        "SECRET_GRAFANA_PASSWORD": secrets.token_urlsafe(12),
        "SECRET_MLFLOW_JOBS": json.dumps({"jobs": secrets.token_urlsafe(30)}),
    }
    return keys | {f"SECRET_PGPASS_{name}": f"*:*:*:{login}:{secrets.token_urlsafe(24)}" for name, login in LOGINS.items()} | make_store()


def make_store() -> dict[str, str]:
    """Return new users of the object store: SeaweedFS's own files of all of them and of itself, and for each one as AWS's tools read it."""
    rights = {user: [f"{right}:{user}" for right in ("Read", "Write", "List", "Tagging")] for user in BUCKETS} | {"admin": ["Admin"]}
    keys = {user: secrets.token_urlsafe(30) for user in rights}
    users = [
        {"name": user, "credentials": [{"accessKey": user, "secretKey": keys[user]}], "actions": actions}
        for user, actions in rights.items()
    ]
    files = {user: f"[default]\naws_access_key_id={user}\naws_secret_access_key={key}\n" for user, key in keys.items()}
    own = {
        "SECRET_STORE_USERS": json.dumps({"identities": users}),
        "SECRET_STORE_SECURITY": f"[jwt.filer_signing]\nkey = '{secrets.token_urlsafe(48)}'\n",
    }
    return own | {f"SECRET_STORE_{user.upper()}": text for user, text in files.items()}


def write(path: Path) -> None:
    """Write new secrets; existing ones stay. A value of several lines stands in double quotes, its ends of lines as \\n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {line.partition("=")[0] for line in path.read_text().splitlines()} if path.exists() else set()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as out:
        for name, value in make().items():
            if name not in known:
                out.write(f"{name}={json.dumps(value)}\n" if "\n" in value else f"{name}='{value}'\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

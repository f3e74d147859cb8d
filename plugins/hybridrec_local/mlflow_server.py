"""MLflow's server behind a login: `python -m hybridrec_local.mlflow_server --port 5000 --backend-store-uri URI --readers FILE ...`.

MLflow alone lets any client create an experiment whose artefacts lie in any folder of ours, and upload files there. Here every
request shows a name and a password (HTTP Basic). Names of the readers' file may look, and only names of the writers' file can change
anything through this server: jobs that log through it because they do not share its database.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec_local.hosts import allowed_hosts, only_allowed_hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = ("/health",)  # for health checks; it says OK and nothing else
# MLflow's assistant runs an AI tool of this machine as the server's user, also for a GET.
CLOSED = re.compile(r"/ajax-api/\d\.0/mlflow/assistant(/.*)?", re.DOTALL)
SCHEMES = ("http", "https")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="hybridrec"'}
READING = ("GET", "HEAD", "OPTIONS")
# Queries that MLflow's pages send by POST, because they are too long for an address.
QUERIES = re.compile(
    r"/(ajax-)?api/[23]\.0/mlflow/(\w[\w-]*/search|experiments/search-datasets|registered-models/get-latest-versions"
    r"|traces/(metrics|batchGetInfos|calculate-filter-correlation))|/graphql"
)


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of MLflow's. readers, writers: JSON files of passwords by name, read at each request."""

    app: ASGIApp
    readers: Path
    writers: Path | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass: 401 without a login, 403 for a change by a reader and for what is closed to all."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # a web socket, of which MLflow has none
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        name, password = _login(dict(scope["headers"]).get(b"authorization", b""))
        writes = _knows(self.writers, name, password)
        if not writes and not _knows(self.readers, name, password):
            say = PlainTextResponse(
                "Log in with a name and a password of Airflow's.\n", 401, {"WWW-Authenticate": 'Basic realm="hybridrec"'}
            )
            await say(scope, receive, send)
        elif CLOSED.fullmatch(scope["path"]):
            await PlainTextResponse("MLflow's assistant is closed here: it would run programs of this machine.\n", 403)(
                scope, receive, send
            )
        elif writes or scope["method"] in READING or QUERIES.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("These pages are read-only: a night's jobs write what they show.\n", 403)(scope, receive, send)


def _login(header: bytes) -> tuple[str, str]:
    """Name and password of an Authorization header, empty if it has none."""
    kind, _, encoded = header.partition(b" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if kind.lower() == b"basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    name, _, password = text.partition(":")
    return name, password


def _knows(file: Path | None, name: str, password: str) -> bool:
    """Return whether the file has this password for this name; it takes as long for a name that is not there."""
    if file is None or not password:
        return False
    return hmac.compare_digest(str(json.loads(file.read_text()).get(name, "")).encode(), password.encode())


def serve(options: argparse.Namespace) -> None:
    """Run MLflow's application within the guard until it is told to end."""
    os.environ |= _mlflow_hosts()  # MLflow reads them when it is imported
    import uvicorn
    from mlflow.server import constants
    from mlflow.utils.server_cli_utils import resolve_default_artifact_root

    hands_out = bool(options.artifacts_destination)
    root = resolve_default_artifact_root(hands_out, options.default_artifact_root, options.backend_store_uri)
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: options.backend_store_uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: options.backend_store_uri,
        constants.ARTIFACT_ROOT_ENV_VAR: root,
    }
    if hands_out:
        os.environ |= {constants.SERVE_ARTIFACTS_ENV_VAR: "true", constants.ARTIFACTS_DESTINATION_ENV_VAR: options.artifacts_destination}
    from mlflow.server.fastapi_app import app  # reads the environment

    uvicorn.run(
        only_allowed_hosts(Guard(app, options.readers, options.writers)), host=options.host, port=options.port, timeout_graceful_shutdown=5
    )


def _mlflow_hosts() -> dict[str, str]:
    """Return the allowed names as MLflow takes them, which looks at hosts and at origins itself, by its own patterns."""
    names = [f"{host}{port}" for host in allowed_hosts() for port in ("", ":*")]
    origins = [f"{kind}://{name}" for kind in SCHEMES for name in names]
    return {"MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names), "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins)}


def main(argv: Sequence[str]) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="mlflow_server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend-store-uri", required=True, help="the database, as MLflow takes it")
    root = parser.add_mutually_exclusive_group(required=True)
    root.add_argument("--default-artifact-root", help="where clients that share this machine's disk write artefacts")
    root.add_argument("--artifacts-destination", help="where this server writes the artefacts that clients send to it")
    parser.add_argument("--readers", type=Path, required=True, help="JSON file of passwords by name: these may look")
    parser.add_argument("--writers", type=Path, help="JSON file of passwords by name: these may write too")
    serve(parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])

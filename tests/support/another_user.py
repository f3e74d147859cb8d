"""Attack as another user of this machine: `python another_user.py ATTACK` as root becomes the user nobody, then attacks.

Arguments come as JSON on standard input, what the attack got goes out as JSON. An attack's imports come first: the user nobody may be
unable to read the interpreter's own folders.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  for looking names up
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

NOBODY = 65534
SECONDS = 180
DIRECT = httpx.Client(trust_env=False, timeout=30)


def as_another_user(attack: Callable[..., Any], *arguments: Any, environment: dict[str, str] | None = None) -> Any:
    """Return the result of an attack of this file as another user. environment: the attacker's further variables."""
    done = subprocess.run(
        [sys.executable, __file__, attack.__name__],
        input=json.dumps(arguments),
        env=dict(os.environ) | (environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_python_in_spark(address: str) -> str:
    """Run Python in another user's Spark server; returns the user that it ran as, or the refusal."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import udf

    try:
        spark = SparkSession.builder.remote(address).getOrCreate()
        row = spark.range(1).select(udf(lambda _: f"ran as {os.getuid()}")("id").alias("who")).first()
    except PySparkException as error:
        return str(error)
    return str(row["who"]) if row else "nothing"


def write_through_mlflow(server: str, folder: str) -> list[int]:
    """Make an experiment whose artefacts lie in a folder, a run of it, and upload a file; the status of each request."""

    def post(path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        answer = DIRECT.post(f"{server}{path}", content=body, headers={"Content-Type": "application/json"})
        return answer.status_code, answer.json() if answer.is_success and answer.content else {}

    api = "/api/2.0/mlflow"
    made, experiment = post(f"{api}/experiments/create", json.dumps({"name": "mine", "artifact_location": f"file://{folder}"}).encode())
    started, run = post(f"{api}/runs/create", json.dumps({"experiment_id": experiment.get("experiment_id", "0")}).encode())
    run_id = run.get("run", {}).get("info", {}).get("run_id", "x" * 32)
    sent, _ = post(f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=dag.py", b"import os")
    return [made, started, sent]


def reach(places: Sequence[tuple[str, int]]) -> list[str]:
    """Return the addresses and ports that answer."""
    found = []
    for address, port in places:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.settimeout(5)
            if probe.connect_ex((address, port)) == 0:
                found.append(f"{address} {port}")
    return found


def read_files(paths: Sequence[str]) -> list[str]:
    """Return the files of which a byte can be read."""
    found = []
    for path in paths:
        try:
            with Path(path).open("rb") as handle:
                handle.read(1)
        except OSError:
            continue
        found.append(path)
    return found


def count_lists(path: str) -> int:
    """Return the number of users in a published file, read as a service reads it; -1 if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT COUNT(*) FROM recommendations").fetchone()[0])
    except sqlite3.OperationalError:
        return -1


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.environ |= {"HOME": "/tmp", "USER": "nobody"}


def _main(name: str) -> None:
    arguments = json.load(sys.stdin)
    if name == run_python_in_spark.__name__:
        import grpc_status
        import pandas
        import pyarrow
        from pyspark.sql.connect import dataframe, functions, session, udf

        assert grpc_status and pandas and pyarrow and dataframe and functions and session and udf
    attack: Callable[..., Any] = globals()[name]
    _become_nobody()
    sys.stdout.write(json.dumps(attack(*arguments)) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])

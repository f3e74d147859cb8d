"""The cluster's passwords and keys are nowhere but in the files that hand them to the services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from hybridrec.base.waiting import first_true
from hybridrec_local import postgres_image
from hybridrec_local.rest import DIRECT, AirflowApi
from hybridrec_local.topology import Cluster
from tests.support.cluster.production import NIGHTLY
from tests.support.planted_secrets import leaks

DATABASES = ("airflow", "mlflow", "recommendations")
PLANTED = "planted-on-the-cluster-0815"
PARAMETER = re.compile(r"\{(\w+)[^}]*\}")


def test_no_secret_lies_anywhere_but_in_its_own_file(cluster: Cluster, run_id: str, commands: set[str], tmp_path: Path) -> None:
    """Files, databases, command lines and pages; a planted secret is found in each of them."""
    secrets = {"planted": PLANTED, **secrets_of(cluster)}
    with planted(cluster, commands):
        write_databases(cluster, tmp_path)
        write_pages(cluster, run_id, tmp_path)
        (tmp_path / "commands").write_text("\n".join(commands))
        found = {tuple(leak.split(" in ")) for folder in (cluster.folder, tmp_path) for leak in leaks(folder, secrets)}
    places = {place for name, place in found if name == "planted"}
    assert {"volumes/data/planted.txt", "commands", "api-server_api_v2_variables", *(f"{name}.sql" for name in DATABASES)} <= places
    own = [instance.path_of(mount) for instance in cluster.instances.values() for mount in instance.service.secrets]
    own.append(cluster.folder / "secrets.env")
    assert {place for name, place in found if name != "planted"} == {path.relative_to(cluster.folder).as_posix() for path in own}
    assert [path for path in own if path.stat().st_mode & 0o077] == []


def secrets_of(cluster: Cluster) -> dict[str, str]:
    """Return the password of a .pgpass line or the key of an AWS file; base 64 padding is not part of it."""
    logins = [json.loads(cluster.secrets[name]) for name in ("airflow_users", "mlflow_jobs")]
    users = {f"password of {user}": password for login in logins for user, password in login.items()}
    lists = ("airflow_users", "mlflow_jobs", "store_users")  # the last repeats the keys of single users
    others = {name: text for name, text in cluster.secrets.items() if name not in lists}
    return users | {name: re.split("secret_access_key=|key = |:", text.strip())[-1].strip("'=") for name, text in others.items()}


@contextmanager
def planted(cluster: Cluster, commands: set[str]) -> Iterator[None]:
    """Plant a secret in each kind of place while the block lasts."""
    file, variables, admin = cluster.volume("data") / "planted.txt", "/api/v2/variables", cluster.connect("admin")
    with ExitStack() as stack:
        file.write_text(PLANTED)
        stack.callback(file.unlink)
        for name in DATABASES:
            db = stack.enter_context(administrator(cluster, name))
            stack.callback(db.execute, "DROP TABLE planted")
            db.execute("CREATE TABLE planted (bytes bytea)")
            db.execute("INSERT INTO planted VALUES (%s)", (b"x" * 9_000 + PLANTED.encode(),))
        admin._call("POST", variables, {"key": "note", "value": PLANTED})
        stack.callback(admin._call, "DELETE", f"{variables}/note")
        process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "input()", PLANTED], stdin=subprocess.PIPE))
        assert first_true(lambda: PLANTED in "\n".join(commands), 30, every=0.2), "command lines are not checked"
        process.communicate(b"\n", timeout=10)
        yield


def administrator(cluster: Cluster, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=cluster.address("postgres"), user="postgres", password=cluster.secrets["postgres_password"], dbname=database, autocommit=True
    )


def write_databases(cluster: Cluster, folder: Path) -> None:
    """Write the content of each database, bytes as readable as possible; the roles are of the whole server."""
    own = {"PGPASSWORD": cluster.secrets["postgres_password"], "PGOPTIONS": "-c bytea_output=escape"}
    environment = cluster.instances["postgres"].environment() | own
    at = ["--host", cluster.address("postgres"), "--username=postgres"]
    programs = Path(postgres_image.programs()[0])
    commands = {name: ["pg_dump", *at, name] for name in DATABASES} | {"roles": ["pg_dumpall", *at, "--globals-only"]}
    for name, (program, *arguments) in commands.items():
        done = subprocess.run([programs / program, *arguments], env=environment, capture_output=True, check=True, timeout=60)
        (folder / f"{name}.sql").write_bytes(done.stdout)


def write_pages(cluster: Cluster, run_id: str, folder: Path) -> None:
    """Write the services' answers: Airflow's whole API to an admin, Spark's settings, the first pages of the others."""
    api = cluster.connect("admin")
    token = {"Authorization": f"Bearer {api._token}"}
    run = {"dag_id": NIGHTLY[1], "dag_run_id": run_id, "task_id": "build_features", "map_index": "-1", "try_number": "1"}
    known = run | {"task_try_number": "1", "version_number": "1", "section": "core", "option": "fernet_key"}
    history = f"{cluster.url('spark-history')}/api/v1/applications"
    workers = [f"http://{cluster.instances[name].address}:8181" for name in ("spark-worker-1", "spark-worker-2")]
    addresses = [
        *(f"{history}/{application['id']}/environment" for application in json.loads(answer(history, {}))),
        *(f"{address}{path}" for address in (cluster.url("spark-master"), *workers) for path in ("/", "/json/")),
        *(f"{cluster.url('lookup')}{path}" for path in ("/openapi.json", "/popular", "/health")),
        cluster.url("mlflow"),
    ]
    for address in addresses:
        (folder / address.replace("/", "_")).write_bytes(answer(address, {}))
    for path in paths(api, known):
        (folder / f"api-server{path}".replace("/", "_")).write_bytes(answer(api.url + path, token))


def paths(api: AirflowApi, known: Mapping[str, str]) -> list[str]:
    """Return the readable paths of Airflow's API, with known names filled in."""
    described = [path for path, methods in api._call("GET", "/openapi.json")["paths"].items() if "get" in methods and "/auth/" not in path]
    readable = [path for path in described if set(PARAMETER.findall(path)) <= known.keys()]
    assert len(readable) > 40
    return [PARAMETER.sub(lambda name: quote(known[name[1]], safe=""), path) for path in readable]


def answer(address: str, headers: Mapping[str, str]) -> bytes:
    return DIRECT.get(address, headers={"Accept": "application/json, text/html", **headers}).content  # a refusal may tell too much as well

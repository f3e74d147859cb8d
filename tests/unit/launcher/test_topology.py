"""The compose file without containers: addresses, folders, secrets, order."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hybridrec.base.errors import PermanentError
from hybridrec.base.private_files import keep_private
from hybridrec.base.settings import Settings
from hybridrec_local import compose
from hybridrec_local.daemon import CannotStart
from hybridrec_local.process import ROOT
from hybridrec_local.topology import FILE, NOT_HERE, Cluster


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("HYBRIDREC_CLUSTER_NETWORK", "127.77.3")
    return Cluster.from_env()


def test_every_service_is_here_or_has_a_reason_not_to_be(cluster: Cluster) -> None:
    services = yaml.safe_load(FILE.read_text())["services"]
    assert {found.service.name for found in cluster.instances.values()} | NOT_HERE.keys() == services.keys()
    assert [name for name in cluster.instances if name.startswith("spark-worker")] == ["spark-worker-1", "spark-worker-2"]


def test_nobody_starts_before_those_that_it_needs(cluster: Cluster) -> None:
    order = [found.service.name for found in cluster.instances.values()]
    for found in cluster.instances.values():
        assert all(order.index(other) < order.index(found.service.name) for other in found.service.after if other not in NOT_HERE)


def test_names_and_paths_of_the_file_are_those_of_this_machine(cluster: Cluster) -> None:
    scheduler, mlflow = cluster.instances["scheduler"], cluster.instances["mlflow"]
    environment = scheduler.environment()
    assert environment["MLFLOW_TRACKING_URI"] == f"http://{mlflow.address}:5000"
    assert environment["HYBRIDREC_HOME"] == str(cluster.folder / "volumes" / "data")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    passfile = scheduler.folder / "run/secrets/pgpass_publisher"
    assert (
        environment["HYBRIDREC_POSTGRES"]
        == f"postgresql://publisher@{cluster.address('postgres')}:5432/recommendations?passfile={passfile}"
    )
    assert f"--host={mlflow.address}" in mlflow.command()
    history = scheduler.translated(cluster.topology.configs["spark_defaults"].read_text())
    assert f"file:{cluster.folder}/volumes/spark-events" in history


def test_no_word_of_the_file_leads_off_this_machine(cluster: Cluster) -> None:
    inside = ("/var/lib/", "/srv/", "/run/secrets", "/etc/spark", "0.0.0.0", "127.0.0.1", "localhost")
    names = tuple(f"//{name}:" for name in cluster.topology.services)
    for found in cluster.instances.values():
        environment = found.environment()
        words = [*found.command(), *map(found.translated, found.service.check), *map(environment.get, found.service.environment)]
        for word in words:
            own = re.sub(rf"(?:{cluster.folder}|{ROOT})[^\s,]*", "", word or "")
            assert not any(part in own for part in (*inside, *names)), f"{found.name}: {word}"


def test_secrets_are_made_once_and_reach_only_who_needs_them(cluster: Cluster) -> None:
    again = Cluster.from_env()
    assert again.secrets == cluster.secrets
    assert (cluster.folder / "secrets.env").stat().st_mode & 0o777 == 0o600
    inherited = json.dumps([[found.environment(), found.command()] for found in cluster.instances.values()])
    assert not any(secret in inherited for secret in cluster.secrets.values())
    lookup = cluster.instances["lookup"]
    lookup._prepare()
    files = list((lookup.folder / "run/secrets").iterdir())
    assert [file.name for file in files] == ["pgpass_reader"]
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert all(value not in repr(cluster) for value in cluster.secrets.values())


def test_other_users_pass_to_their_own_folder_only(cluster: Cluster) -> None:
    """PostgreSQL, which refuses to run as root, is one of them: nothing on the way can be listed, and what lies beside it not entered."""
    for name in ("lookup", "scheduler"):
        cluster.instances[name]._prepare()
    on_the_way = [cluster.folder.parent, cluster.folder, cluster.folder / "services", cluster.folder / "volumes"]
    assert {folder.stat().st_mode & 0o777 for folder in on_the_way} == {0o711}
    inside = [cluster.instances["lookup"].folder, cluster.instances["scheduler"].folder / "run" / "secrets", cluster.volume("data")]
    assert {folder.stat().st_mode & 0o777 for folder in inside} == {0o700}
    keep_private(Settings.from_env())
    assert {folder.stat().st_mode & 0o777 for folder in on_the_way} == {0o711}, "a job by hand leaves the way open"


def test_jobs_log_in_to_mlflow_and_people_may_only_look(cluster: Cluster) -> None:
    mlflow, scheduler = cluster.instances["mlflow"], cluster.instances["scheduler"]
    command = " ".join(mlflow.command())
    assert (
        f"--readers={mlflow.folder}/run/secrets/airflow_users" in command
        and f"--writers={mlflow.folder}/run/secrets/mlflow_jobs" in command
    )
    assert scheduler.environment()["HYBRIDREC_MLFLOW_LOGIN"] == str(scheduler.folder / "run/secrets/mlflow_jobs")
    holders = {name for name, found in cluster.instances.items() if any(mount.source == "mlflow_jobs" for mount in found.service.secrets)}
    assert holders == {"mlflow", "scheduler"}
    assert json.loads(cluster.secrets["mlflow_jobs"]).keys() == {"jobs"}
    assert f"{mlflow.address}:5000" in mlflow.environment()["HYBRIDREC_ALLOWED_HOSTS"]


def test_every_program_of_the_file_is_here(cluster: Cluster) -> None:
    for found in cluster.instances.values():
        programs = {found.command()[0], *found.service.check[:1]}
        if not programs & {"postgres", "pg_isready"}:  # which .ci/install postgresql adds
            assert all(shutil.which(program, path=found.environment()["PATH"]) for program in programs), found.name


def test_a_program_that_is_missing_is_one_sentence(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(CannotStart, match="lookup needs the program python, which is not on this machine"):
        cluster.instances["lookup"].command()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${A:-x}", "1"), ("${B:-x}", "x"), ("${C:-}", ""), ("$${A}", "${A}"), ("a${A}b", "a1b")],
)
def test_variables_are_filled_in(text: str, expected: str) -> None:
    assert compose._filled({"key": [text]}, {"A": "1", "C": ""}) == {"key": [expected]}


def test_what_is_missing_or_not_known_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yaml"
    file.write_text("services: {one: {command: 'x ${KEY:?set KEY}'}}\nconfigs: {}\nsecrets: {}\n")
    with pytest.raises(PermanentError, match="needs KEY: set KEY"):
        compose.read(file, {})
    file.write_text("services: {one: {entrypoint: x}}\nconfigs: {}\nsecrets: {}\n")
    with pytest.raises(PermanentError, match="one: \\['entrypoint'\\] is not known here"):
        compose.read(file, {})


def test_the_health_check_believes_the_page_only(tmp_path: Path) -> None:
    page = tmp_path / "health.json"
    page.write_text(json.dumps({"scheduler": {"status": "healthy"}, "triggerer": {"status": "unhealthy"}}))

    def check(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "deploy/healthy.py", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL, check=False
        ).returncode

    assert check(page.as_uri()) == check(page.as_uri(), "scheduler") == 0
    assert check(page.as_uri(), "scheduler", "triggerer") == 1
    assert check((tmp_path / "missing").as_uri()) == 1

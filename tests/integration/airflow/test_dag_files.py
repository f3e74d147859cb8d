"""DAGs are wiring: short, cheap to parse, their flags known to the jobs, their shape on record."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.execution.command_line import parse
from hybridrec.runs.run import RUN_ID, SPLITS
from tests.support import ROOT

if TYPE_CHECKING:
    from airflow.sdk import DAG

GOLDEN = Path(__file__).parent / "golden"
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = ("pyspark", "torch", "mlflow", "pandas", "lightgbm", "implicit", "great_expectations", "numpy", "pyarrow")
AIRFLOW_RUN_ID = "manual__2026-11-22T01:41:46.123456+00:00_aB3~x"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_has_at_most_a_hundred_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100


def test_parsing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
assert not bag.import_errors, bag.import_errors
assert len(bag.dags) == {len(DAG_FILES)}, bag.dags
print([name for name in {HEAVY} if name in sys.modules])
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    environment |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT / "plugins")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_every_file_is_the_dag_of_its_name(dags: dict[str, DAG]) -> None:
    assert sorted(dags) == [path.stem for path in DAG_FILES]


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_is_wired_as_on_record(path: Path, dags: dict[str, DAG]) -> None:
    """HYBRIDREC_GOLDEN=write rewrites the records (`make golden`)."""
    from tests.support.rendered import rendered

    text, golden = rendered(dags[path.stem]), GOLDEN / f"{path.stem}.txt"
    if os.environ.get("HYBRIDREC_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text(), f"{path.stem} is wired differently; look at the difference, then run `make golden`"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_serializes_and_is_documented_for_the_person_on_call(path: Path, dags: dict[str, DAG]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = dags[path.stem]
    assert DagSerialization.to_dict(dag)["dag"]["dag_id"] == path.stem
    assert "When it fails" in (dag.doc_md or "")
    assert all(dag.params.get_param(name).schema.get("title") for name in dag.params)


@pytest.mark.parametrize("run_type", ["manual", "scheduled"])
@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_each_job_understands_its_flags(path: Path, run_type: str, dags: dict[str, DAG]) -> None:
    dag = dags[path.stem]
    tasks = [(options, choice) for task in dag.tasks if "job" in (options := _options(task)) for choice in _choices(task)]
    assert tasks
    for options, choice in tasks:
        module = importlib.import_module(f"jobs.{options['job']}")
        params = parse(module.Params, _argv(dag, options["flags"] | choice, run_type))
        if hasattr(params, "run_id"):
            assert RUN_ID.fullmatch(params.run_id)


def test_the_form_reaches_the_first_task(dags: dict[str, DAG]) -> None:
    dag = dags["nightly_retrain"]
    flags = _options(dag.get_task("open_run"))["flags"]
    form = {"source": "synthetic", "as_of": "1998-04-01", "models": ["als", "popularity"], "k": 7, "publish": False}
    argv = _argv(dag, flags, "manual", form)
    assert argv[1:] == ["--source=synthetic", "--as-of=1998-04-01", "--models=als,popularity", "--k=7", "--no-publish", "--no-backfill"]
    empty = _argv(dag, flags, "manual", form | {"as_of": None, "k": None})
    assert not any(flag.startswith(("--as-of", "--k")) for flag in empty), "the job takes [night] k and the newest event"


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "asset_triggered", "asset_materialization", "operator_triggered"])
def test_a_run_that_airflow_dates_sees_the_world_as_of_its_date(run_type: str, dags: dict[str, DAG]) -> None:
    dag = dags["nightly_retrain"]
    flags = _options(dag.get_task("open_run"))["flags"]
    assert "--as-of=2026-11-22T02:00:00" in _argv(dag, flags, run_type)
    assert "--as-of=1998-04-01" in _argv(dag, flags, run_type, _filled_in(dag) | {"as_of": "1998-04-01"})


@pytest.mark.parametrize(
    ("run_type", "conf", "publishes"),
    [
        ("scheduled", {}, True),
        ("scheduled", {"publish": False}, False),
        ("manual", {"publish": True, "publish_backfill": False}, True),
        ("backfill", None, False),
        ("backfill", {"k": 7}, False),
        ("backfill", {"publish": True, "publish_backfill": False}, False),  # as Airflow's page sends an untouched form
        ("backfill", {"publish": True}, True),
        ("backfill", {"publish": False, "publish_backfill": True}, False),
        ("backfill", {"publish_backfill": True}, True),
    ],
)
def test_a_backfill_publishes_only_when_its_form_says_so(
    run_type: str, conf: dict[str, Any] | None, publishes: bool, dags: dict[str, DAG]
) -> None:
    dag = dags["nightly_retrain"]
    argv = _argv(dag, _options(dag.get_task("open_run"))["flags"], run_type, _filled_in(dag) | (conf or {}), conf)
    assert ("--publish" if publishes else "--no-publish") in argv
    assert ("--backfill" if run_type == "backfill" else "--no-backfill") in argv


def test_no_forms_default_shadows_an_option(dags: dict[str, DAG]) -> None:
    """Options of hybridrec.toml reach a scheduled run, which has no form."""
    options = {field.name for field in fields(Config)}
    shadowing = {(dag.dag_id, name) for dag in dags.values() for name in dag.params if name in options and dag.params[name] is not None}
    assert shadowing == set()


def test_a_field_that_may_be_empty_says_what_that_does(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        for field in (dag.params.get_param(name) for name in dag.params):
            if "null" in field.schema["type"]:
                assert re.search("Empty: |None chosen: ", field.description or ""), f"{dag.dag_id}: {field.schema['title']}"


@pytest.mark.parametrize("dag_id", ["backtest", "ingest", "nightly_retrain", "tune_models"])
def test_a_task_that_no_mark_skips_decides_the_runs_colour(dag_id: str, dags: dict[str, DAG]) -> None:
    """With teardowns, Airflow skips the rest of a run that is marked as failed, and calls that a success."""
    last = dags[dag_id].get_task("confirm_outcome")
    assert last.is_teardown and last.on_failure_fail_dagrun and not last.downstream_task_ids
    assert not any(dags[dag_id].get_task(task).is_setup for task in last.upstream_task_ids), "it would be skipped with its set-up"


BAD_FORMS = [
    {"k": -1},
    {"k": 201},
    {"k": "many"},
    {"models": ["no_such_model"]},
    {"models": []},
    {"source": "nowhere"},
    {"as_of": "yesterday"},
    {"publish": "perhaps"},
]


@pytest.mark.parametrize("form", BAD_FORMS, ids=str)
def test_the_form_refuses_a_wrong_value(form: dict[str, Any], dags: dict[str, DAG]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    params = dags["nightly_retrain"].params
    (name, value), *_ = form.items()
    with pytest.raises(ParamValidationError):
        params.get_param(name).resolve(value)


def test_a_schedule_that_is_off_leaves_starting_to_people(monkeypatch: pytest.MonkeyPatch, airflow_home: Path) -> None:
    from hybridrec_airflow import defaults

    monkeypatch.setenv("HYBRIDREC_SCHEDULE", "off")
    assert defaults.daily_at("0 2 * * *") is None


def _options(task: Any) -> dict[str, Any]:
    return task.partial_kwargs if task.is_mapped else vars(task)


def _choices(task: Any) -> Iterator[dict[str, str]]:
    """Yield a flag set for each split of a mapped task, with any model, with any origin."""
    axes = task.expand_input.value if task.is_mapped else {}
    chosen = {name: value for name, value in (("model", extensions.names("models")[0]), ("origin", "2")) if name in axes}
    yield from ({**chosen, "split": split} for split in SPLITS) if "split" in axes else [chosen]


def _filled_in(dag: DAG) -> dict[str, Any]:
    """Return the form as it is offered, with a run's id where a person has to give one."""
    offered = {name: dag.params.get_param(name) for name in dag.params}
    return {name: field.value if field.has_value or "null" in field.schema["type"] else required(field) for name, field in offered.items()}


def required(field: Any) -> str:
    """Return a value for a field without a default."""
    return str(field.schema.get("enum", ["nightly.1"])[0])


def _argv(
    dag: DAG, flags: dict[str, Any], run_type: str, form: dict[str, Any] | None = None, conf: dict[str, Any] | None = None
) -> list[str]:
    from hybridrec_local.process import flag_arguments

    slot = SimpleNamespace(isoformat=lambda: "2026-11-22T02:00:00")
    dated = slot if run_type in ("scheduled", "backfill") else None
    context = {"params": form or _filled_in(dag), "run_id": AIRFLOW_RUN_ID}
    context["dag_run"] = SimpleNamespace(
        run_type=run_type, run_after=slot, data_interval_end=dated, conf=conf, triggering_user_name="admin"
    )
    context["ti"] = SimpleNamespace(xcom_pull=lambda task_ids: "nightly_1a2b3c4d")
    environment = dag.get_template_env()
    return flag_arguments({name: environment.from_string(str(value)).render(context) for name, value in flags.items()})

"""The MLflow registry: one parent run a night, a nested run per model and split, one version of `hybridrec`.

A version is the night's whole model bundle: models, strategies, decision, options, and the tables they need, laid out as a
home of one run, so that the jobs' own code can read it. Only this module and the jobs that use it import mlflow.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_blocks import choose_models
from hybridrec.evaluation.gate import Champion, Verdict
from hybridrec.evaluation.promotion import write_policy_of
from hybridrec.execution.task_records import TaskRecord, read_records
from hybridrec.policy.policy import DECISION, fitted_strategies, read_choices
from hybridrec.runs.run import FORMER_SPLITS, MANIFEST, SPLITS, Run
from hybridrec.storage import locks, shared_files, store

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

log = logging.getLogger(__name__)
NAME = "hybridrec"  # of the experiment and of the registered model
CHAMPION, CHALLENGER = "champion", "challenger"
RUN_TAG, CONTENT_TAG, PREVIOUS_TAG = "hybridrec.run_id", "hybridrec.content", "hybridrec.champion_before"
TUNING_TAG = "hybridrec.tuning_run_id"
NO_CHAMPION = "none"
BATCH = 1_000  # metrics that one call may log
REQUIRED = ("lightgbm", "implicit", "numpy", "pandas", "pyarrow", "safetensors", "scipy", "torch")
FINAL_TABLES = ("model_interactions", "model_user_features", "model_item_features")
SOME_TABLES = ("model_disliked", "model_had", "model_repeats", "model_visits", "model_shown", "model_item_shown")  # not of every run


def connect(settings: Settings) -> MlflowClient:
    """Return a client of the tracking store with its schema up to date and the experiment made; safe from many processes at once."""
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a task's log is no terminal
    _take_login()
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    # of several processes that meet a fresh database, all but one die in the migration
    with locks.exclusive(settings.home / "mlflow" / "schema.lock"):
        mlflow.set_tracking_uri(settings.mlflow_uri)
        client = mlflow.MlflowClient(settings.mlflow_uri)
        try:
            experiment = client.get_experiment_by_name(NAME)
        except MlflowException as error:
            if "out-of-date" not in str(error):
                raise
            _upgrade_db(create_sqlalchemy_engine_with_retry(settings.mlflow_uri))
            experiment = client.get_experiment_by_name(NAME)
        if experiment is None:
            embedded = settings.mlflow_uri.startswith("sqlite")  # a server has its own place and hands artefacts out itself
            client.create_experiment(NAME, artifact_location=settings.mlflow_artifacts.as_uri() if embedded else None)
    return client


def _take_login() -> None:
    """Let MLflow's client show the login of the file that HYBRIDREC_MLFLOW_LOGIN names, {"name": "password"}, if it names one."""
    file = os.environ.get("HYBRIDREC_MLFLOW_LOGIN")
    if file:
        [(name, password)] = json.loads(Path(file).read_text()).items()
        os.environ |= {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


def register(run: Run) -> str:
    """Log the night and register its model bundle; returns the version. A run that is registered already stays as it is."""
    client = connect(run.settings)
    content = _fingerprint(run)
    version = version_of(client, run, content)
    if version:
        log.info("run %s is version %s already", run.run_id, version)
    else:
        _forget_attempts(client, run)
        parent = _log_night(client, run, content)
        version = _register_bundle(client, run, parent)
        client.set_terminated(parent)
    client.set_registered_model_alias(NAME, CHALLENGER, version)
    return version


def version_of(client: MlflowClient, run: Run, content: str = "") -> str | None:
    """Return the newest version that this run registered, of just this content where one is given."""
    parents = {night.info.run_id for night in _runs_of(client, run) if content in ("", night.data.tags.get(CONTENT_TAG))}
    versions = [version for version in client.search_model_versions(f"name='{NAME}'") if version.run_id in parents]
    return str(max(versions, key=lambda version: int(version.version)).version) if versions else None


def champion_before(client: MlflowClient, challenger: str, folder: Path) -> Champion | None:
    """Return the champion that the challenger is up against, its policy fetched into a folder; the same on a rerun after promotion."""
    from mlflow.exceptions import MlflowException

    noted = client.get_model_version(NAME, challenger).tags.get(PREVIOUS_TAG)
    if noted is None:
        try:
            noted = str(client.get_model_version_by_alias(NAME, CHAMPION).version)
        except MlflowException:  # the alias, or the whole model, does not exist yet
            noted = NO_CHAMPION
        client.set_model_version_tag(NAME, challenger, PREVIOUS_TAG, noted)
    return Champion(noted, _fetch_policy(client, noted, folder)) if noted != NO_CHAMPION else None


def record_verdict(client: MlflowClient, challenger: str, verdict: Verdict) -> None:
    """Write the gate's reasons on the version, then move the alias where it was promoted."""
    client.set_model_version_tag(NAME, challenger, "hybridrec.gate", "promoted" if verdict.promoted else "refused")
    for number, reason in enumerate(verdict.reasons, start=1):
        client.set_model_version_tag(NAME, challenger, f"hybridrec.gate.reason_{number}", reason[:5000])
    for row in verdict.comparisons:
        client.set_model_version_tag(NAME, challenger, f"hybridrec.gate.against_{row.against.replace(' ', '_')}", row.text())
    if verdict.promoted:
        client.set_registered_model_alias(NAME, CHAMPION, challenger)


def log_search(run: Run, model: str, file: Path) -> None:
    """Add a search for a model's options to the run's parent run `tuning`: trials as steps of one metric, and the stored file."""
    client = connect(run.settings)
    with locks.exclusive(run.settings.home / "mlflow" / "tuning.lock"):  # models are tuned at the same time
        parent = _search_parent(client, run)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    for earlier in client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}' and tags.`hybridrec.model` = '{model}'"):
        client.delete_run(earlier.info.run_id)
    tags = {TUNING_TAG: run.run_id, "mlflow.parentRunId": parent, "hybridrec.model": model}
    nested = client.create_run(experiment, run_name=f"tuning {model}", tags=tags).info.run_id
    record = json.loads(file.read_text())
    _log_params(client, nested, {name: str(value) for name, value in record["tuned"]["options"].items()})
    _log_metrics(
        client, nested, {name: record["tuned"][name] for name in ("before", "after")} | {"standard_error": record["standard_error"]}
    )
    for step, trial in enumerate(record["trials"]):
        if not trial["refused"]:
            client.log_metric(nested, record["tuned"]["metric"].replace("@", "_at_"), trial["ndcg"], step=step)
    client.log_artifact(nested, str(file))
    client.set_terminated(nested)


def _search_parent(client: MlflowClient, run: Run) -> str:
    """Return the run's parent run for searches, created at first use; its own tag keeps nights from mistaking it for theirs."""
    experiment = client.get_experiment_by_name(NAME).experiment_id
    query = f"tags.`{TUNING_TAG}` = '{run.run_id}' and attributes.run_name = 'tuning {run.run_id}'"
    parents = client.search_runs([experiment], query)
    if parents:
        return str(parents[0].info.run_id)
    tags = {TUNING_TAG: run.run_id, "hybridrec.code_version": run.manifest.code_version}
    parent = client.create_run(experiment, run_name=f"tuning {run.run_id}", tags=tags).info.run_id
    _log_params(client, parent, {"source": run.manifest.source, "as_of": run.manifest.as_of.isoformat(), "split": run.config.split})
    client.set_terminated(parent)
    return str(parent)


def log_report(run: Run, page: Path) -> bool:
    """Add the report's page to the night's parent run; returns whether there is one."""
    client = connect(run.settings)
    parents = [mlflow_run.info.run_id for mlflow_run in _runs_of(client, run) if "mlflow.parentRunId" not in mlflow_run.data.tags]
    for parent in parents:
        client.log_artifact(parent, str(page), "report")
    return bool(parents)


def _fetch_policy(client: MlflowClient, version: str, folder: Path) -> Path | None:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        of_run = client.get_model_version(NAME, version).run_id
        return Path(mlflow.artifacts.download_artifacts(f"runs:/{of_run}/policy", dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        log.warning("champion %s: %s", version, error)
        return None


def _fingerprint(run: Run) -> str:
    """Return SHA-256 over the content hashes of all that a version holds."""
    digest = hashlib.sha256(shared_files.read_text(run.folder / MANIFEST).encode())
    for folder in _bundle_datasets(run):
        digest.update(f"{folder.relative_to(run.folder)} {store.read_manifest(folder).content_hash}\n".encode())
    return digest.hexdigest()


def _bundle_datasets(run: Run) -> list[Path]:
    models = [run.dataset(f"models/{name}", "full") for name in choose_models(run).used]
    fitted = [run.dataset(f"strategies/{name}") for name in fitted_strategies(run)]
    tables = [run.dataset("model_users"), run.dataset("model_items"), *(run.dataset(name, "full") for name in FINAL_TABLES)]
    tables += [folder for name in SOME_TABLES if store.is_committed(folder := run.dataset(name, "full"))]
    return [*models, *fitted, *tables, run.dataset("decision")]


def _runs_of(client: MlflowClient, run: Run) -> list[MlflowRun]:
    experiment = client.get_experiment_by_name(NAME)
    return list(client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run.run_id}'"))


def _forget_attempts(client: MlflowClient, run: Run) -> None:
    """Delete what a killed attempt logged, so that a night has one parent run; registered ones stay with their version."""
    registered = {version.run_id for version in client.search_model_versions(f"name='{NAME}'")}
    for attempt in _runs_of(client, run):
        parent = attempt.data.tags.get("mlflow.parentRunId", attempt.info.run_id)
        if parent not in registered:
            client.delete_run(attempt.info.run_id)


def _log_night(client: MlflowClient, run: Run, content: str) -> str:
    """Log the parent run with its nested ones; return its id."""
    experiment = client.get_experiment_by_name(NAME).experiment_id
    tags = {RUN_TAG: run.run_id, CONTENT_TAG: content, "hybridrec.code_version": run.manifest.code_version}
    tags |= {f"hybridrec.input.{name}": core_table.content_hash for name, core_table in run.manifest.inputs.items()}
    parent = client.create_run(experiment, run_name=run.run_id, tags=tags).info.run_id
    _log_params(client, parent, _night_params(run))
    _log_metrics(client, parent, night_metrics(run.read("out_metrics"), run.config.k))
    for name, figure in _figures(run):
        client.log_figure(parent, figure, name)
    with tempfile.TemporaryDirectory() as scratch:
        write_policy_of(run, Path(scratch) / "policy")
        client.log_artifacts(parent, str(Path(scratch) / "policy"), "policy")
    records = {(record.job, record.part): record for record in read_records(run.folder)}
    for model in run.manifest.models:
        for split in SPLITS:
            if store.is_committed(run.dataset(f"models/{model}", split)):
                child = {RUN_TAG: run.run_id, "mlflow.parentRunId": parent, "hybridrec.model": model, "hybridrec.split": split}
                child["hybridrec.fold"] = FORMER_SPLITS[split]
                _log_fit(
                    client, experiment, child, run.artefact(f"models/{model}", split), records.get(("train_model", f"{model}.{split}"))
                )
    return str(parent)


def _log_fit(client: MlflowClient, experiment: str, tags: dict[str, str], folder: Path, record: TaskRecord | None) -> None:
    fit = json.loads((folder / "fit.json").read_text())
    name = f"{tags['hybridrec.model']}.{tags['hybridrec.split']}"
    nested = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    _log_params(client, nested, {key: str(value) for key, value in fit["config"].items()})
    cost = {} if record is None else {"seconds": record.wall_seconds, "cpu_seconds": record.cpu_seconds, "peak_mib": record.peak_mib}
    _log_metrics(client, nested, fit["metrics"] | cost)
    client.set_terminated(nested)


def _night_params(run: Run) -> dict[str, str]:
    choices = read_choices(run.artefact("decision") / DECISION)
    options = {"source": run.manifest.source, "as_of": run.manifest.as_of.isoformat(), "models": ",".join(run.manifest.models)}
    options |= {name: str(getattr(run.config, name)) for name in ("k", "seed", "pool_k", "pool_size", "label_share", "half_life_days")}
    return options | {f"published.{segment}": choice.name for segment, choice in choices.items()}


def night_metrics(metrics: pa.Table, k: int) -> dict[str, float]:
    """Return out_metrics as MLflow names: all metrics over all users, and NDCG at k of each segment with its interval."""
    figures = {}
    for row in metrics.to_pylist():
        key = f"{row['kind']}/{row['name']}/{row['segment']}/{row['metric'].replace('@', '_at_')}"
        if row["segment"] == "all" or row["metric"] == f"ndcg@{k}":
            figures[key] = row["value"]
        if row["metric"] == f"ndcg@{k}":
            figures |= {f"{key}/low": row["low"], f"{key}/high": row["high"]}
    return figures


def _log_params(client: MlflowClient, run_id: str, values: dict[str, str]) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(name, value[:6000]) for name, value in sorted(values.items())])


def _log_metrics(client: MlflowClient, run_id: str, values: dict[str, float]) -> None:
    from mlflow.entities import Metric

    rows = [Metric(name, float(value), 0, 0) for name, value in sorted(values.items())]
    for first in range(0, len(rows), BATCH):
        client.log_batch(run_id, metrics=rows[first : first + BATCH])


def _figures(run: Run) -> Iterator[tuple[str, Figure]]:
    """Yield the quality of every list, and what leaving out each model does."""
    metric = f"ndcg@{run.config.k}"
    lists = [row for row in run.read("out_metrics").to_pylist() if row["segment"] == "all" and row["metric"] == metric]
    bars = [(f"{row['name']} ({row['kind']})", row["value"], row["low"], row["high"]) for row in lists]
    yield "plots/lists.png", _interval_plot(bars, f"{metric} on held-out time, 95 % interval")
    left_out = [row for row in run.read("out_ablation").to_pylist() if row["scope"] == "night"]
    bars = [(f"{row['source']} in {row['strategy']}", row["marginal_ndcg"], row["low"], row["high"]) for row in left_out]
    if bars:
        yield "plots/ablation.png", _interval_plot(bars, f"Contribution of each model to {metric}")


def _interval_plot(bars: list[tuple[str, float, float, float]], title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.3 * len(bars)), layout="constrained")
    axes = figure.subplots()
    bars = sorted(bars, key=lambda bar: bar[1])
    for height, (_, mean, low, high) in enumerate(bars):
        axes.plot([low, high], [height, height], color="#555555", linewidth=2)
        axes.plot([mean], [height], "o", color="#1f77b4")
    axes.axvline(0, color="#aaaaaa", linewidth=1)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=8)
    axes.set_title(title, fontsize=10)
    return figure


def _register_bundle(client: MlflowClient, run: Run, parent: str) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, ColSpec, DataType

    from hybridrec.policy.model_bundle import CODE

    words, numbers = Array(DataType.string), Array(DataType.float)
    signature = ModelSignature(
        Schema([ColSpec(DataType.string, "user_id")]),
        Schema([ColSpec(DataType.string, "user_id"), ColSpec(words, "item_ids"), ColSpec(numbers, "scores")]),
        ParamSchema([ParamSpec("k", DataType.long, run.config.k)]),
    )
    with tempfile.TemporaryDirectory(dir=run.settings.home) as scratch, mlflow.start_run(run_id=parent):
        _copy_bundle(run, Path(scratch) / "home")
        code = Path(scratch) / "model_bundle.py"
        code.write_text(CODE)
        info = mlflow.pyfunc.log_model(
            name="stack",
            python_model=str(code),
            artifacts={"home": str(Path(scratch) / "home")},
            signature=signature,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIRED],
            registered_model_name=NAME,
        )
    version = str(info.registered_model_version)
    client.set_model_version_tag(NAME, version, RUN_TAG, run.run_id)
    return version


def _copy_bundle(run: Run, home: Path) -> None:
    """Copy the part of the run that ranking needs, as its own home."""
    target = home / "runs" / run.run_id
    target.mkdir(parents=True)
    (target / MANIFEST).write_text(shared_files.read_text(run.folder / MANIFEST))
    for folder in _bundle_datasets(run):
        copy = target / folder.relative_to(run.folder)
        for file in shared_files.fetch(folder / name for name in store.read_manifest(folder).files):
            copied = copy / file.relative_to(folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            _link(file, copied)
        (copy / store.MANIFEST).write_text(shared_files.read_text(folder / store.MANIFEST))
    write_policy_of(run, home / "policy")


def _link(source: Path, target: Path) -> None:
    """Make a hard link: log_model copies the bytes anyway, and committed files never change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

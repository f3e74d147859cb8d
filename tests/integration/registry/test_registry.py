"""The registry: one parent run a night, one version, the gate's alias, and a stack that loads without pickle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.base.config import Config
from hybridrec.candidates.candidate_blocks import candidate_block
from hybridrec.candidates.candidate_set import load_candidates
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.policy.policy import load_policy
from hybridrec.policy.ranked_lists import Depth, rank_candidate_set
from hybridrec.registry import mlflow_registry
from hybridrec.runs.run import SPLITS, Run
from hybridrec.storage import store
from hybridrec.training.fits import fit_model, load_fit, training_data, user_block
from jobs import evaluate, promote_model, register_model, train_ranker
from tests.support import small_world

MODELS = ("content_attributes", "item_knn", "popularity")


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide an MLflow database with its schema, made once: the migration takes ten seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked_home(home: Path, empty_database: Path) -> Path:
    """Provide an empty home with a database that needs no migration."""
    (home / "mlflow").mkdir()
    shutil.copyfile(empty_database, home / "mlflow" / "mlflow.db")
    return home


@pytest.fixture(scope="module")
def first_home(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Provide a home with the first night up to its decision and an empty MLflow; made once, to be copied."""
    folder = tmp_path_factory.mktemp("first_home")
    (folder / "mlflow").mkdir()
    shutil.copyfile(empty_database, folder / "mlflow" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        night("first")
    return folder


@pytest.fixture
def first(home: Path, first_home: Path) -> Run:
    """Provide the first night, not registered yet."""
    shutil.copytree(first_home, home, dirs_exist_ok=True)
    return Run.open("first")


def night(run_id: str, config: Config | None = None) -> Run:
    """Return a run of the small world up to the decision, with three real models."""
    run = small_world.make_run(run_id, config)
    for split in SPLITS:
        for model in MODELS:
            with run.staged(f"models/{model}", split) as folder:
                fit_model(model, training_data(run, split, model), {}, folder)
        users = np.arange(60) if split == "full" else np.unique(run.read("model_labels", split)["user_idx"].to_numpy())
        run.write("model_candidates", pa.Table.from_batches([block(run, split, users)]), split)
    train_ranker.main(train_ranker.Params(run_id))
    evaluate.main(evaluate.Params(run_id))
    return run


def block(run: Run, split: str, users: np.ndarray) -> pa.RecordBatch:
    models = {model: load_fit(model, run.artefact(f"models/{model}", split)) for model in MODELS}
    return candidate_block(
        models, user_block(run, split, users.astype(np.int32)), candidate_items(run, split), run.config.pool_k, run.config.pool_size
    )


def register(run: Run) -> None:
    register_model.main(register_model.Params(run.run_id))


def promote(run: Run) -> dict[str, object]:
    promote_model.main(promote_model.Params(run.run_id))
    found: dict[str, object] = json.loads((run.artefact("promotion") / "promotion.json").read_text())
    return found


def test_a_night_is_logged_once_and_registered_once(first: Run) -> None:
    run = first
    register(run)
    register(run)
    client = mlflow_registry.connect(run.settings)
    assert [v.version for v in client.search_model_versions("name='hybridrec'")] in (["1"], [1])
    found = client.search_runs([client.get_experiment_by_name("hybridrec").experiment_id])
    parents = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    assert [r.info.run_name for r in parents] == ["first"]
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert {r.info.run_name for r in children} == {f"{model}.{split}" for model in MODELS for split in SPLITS}
    assert all(r.info.status == "FINISHED" for r in found)
    knn = next(r for r in children if r.info.run_name == "item_knn.holdout")
    fit = json.loads((run.artefact("models/item_knn", "holdout") / "fit.json").read_text())
    assert knn.data.params == {name: str(value) for name, value in fit["config"].items()}
    row = run.read("out_metrics").to_pandas().set_index(["name", "segment", "metric"]).loc[("stacking", "all", "ndcg@10")]
    assert parents[0].data.metrics["strategy/stacking/all/ndcg_at_10"] == pytest.approx(row["value"])
    plots = {file.path for file in client.list_artifacts(parents[0].info.run_id, "plots")}
    assert plots == {"plots/lists.png", "plots/ablation.png"}


def test_killed_attempt_leaves_no_second_parent(first: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = first

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mlflow_registry, "_register_bundle", killed)
        register(run)
    register(run)
    client = mlflow_registry.connect(run.settings)
    found = client.search_runs([client.get_experiment_by_name("hybridrec").experiment_id])
    assert len([r for r in found if "mlflow.parentRunId" not in r.data.tags]) == 1
    assert len(found) == 1 + len(MODELS) * len(SPLITS)


def test_stack_loads_by_alias_without_pickle_and_ranks_as_the_job(first: Run) -> None:
    import mlflow
    import pandas as pd

    run = first
    register(run)
    assert promote(run)["promoted"]
    stack = mlflow.pyfunc.load_model("models:/hybridrec@champion")
    asked = ["u03", "nobody", "u58", "u03", "u40"]
    found = stack.predict(pd.DataFrame({"user_id": asked}), params={"k": 5})
    assert found.user_id.tolist() == asked
    expected = rank_candidate_set(load_candidates(run, "full"), load_policy(run.artefact("promotion") / "policy"), Depth(5, 0)).to_pandas()
    for user, items in zip(found.user_id, found.item_ids, strict=True):
        ranked = [] if user == "nobody" else expected[expected.user_idx == int(user[1:])].item_idx.tolist()
        assert [int(item[1:]) for item in items] == ranked
    assert len(found.item_ids[0]) == 5
    assert not [path for path in run.settings.mlflow_artifacts.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]


def test_worse_night_is_refused_and_the_champions_policy_serves(first: Run) -> None:
    register(first)
    promote(first)
    # this night only popularity would be published, which is far worse in a world of two tastes
    second = night("second", Config(k=10, pool_k=20, bootstrap_samples=200, seed=2))
    decision = json.loads((second.artefact("decision") / "decision.json").read_text())
    worse = {segment: {"kind": "source", "strategy": "popularity", "reason": "test"} for segment in decision["segments"]}
    with second.staged("decision") as folder:
        store.write_json(folder / "decision.json", {"segments": worse})
    register(second)
    for _ in range(2):  # a rerun finds the same champion and says the same
        verdict = promote(second)
        assert (verdict["promoted"], verdict["serving"], verdict["model_version"]) == (False, "champion", "1")
    client = mlflow_registry.connect(second.settings)
    assert str(client.get_model_version_by_alias("hybridrec", "champion").version) == "1"
    tags = client.get_model_version("hybridrec", "2").tags
    assert tags["hybridrec.gate"] == "refused"
    assert "may lose more than 0.02 against champion 1" in " ".join(tags.values())
    served = load_policy(second.artefact("promotion") / "policy").choices
    assert served == load_policy(first.artefact("promotion") / "policy").choices


def test_rerun_after_promotion_compares_with_the_same_champion(first: Run) -> None:
    second = night("second")
    register(first)
    promote(first)
    register(second)
    before = promote(second)
    assert before["champion_before"] == "1"
    assert before["promoted"]
    hashes = store.read_manifest(second.dataset("promotion")).content_hash
    assert promote(second) == before
    assert store.read_manifest(second.dataset("promotion")).content_hash == hashes


def test_many_processes_may_meet_a_fresh_database(home: Path) -> None:
    imports = "from hybridrec.base.settings import Settings; from hybridrec.registry import mlflow_registry"
    code = f"{imports}; mlflow_registry.connect(Settings.from_env())"
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors


def test_a_search_is_a_nested_run_of_its_own_parent(tracked_home: Path) -> None:
    run = small_world.make_run()
    path = tracked_home / "tuned.json"
    trials = [{"options": {}, "ndcg": 0.1, "refused": ""}, {"options": {}, "ndcg": None, "refused": "too big"}]
    trials.append({"options": {"factors": 16}, "ndcg": 0.2, "refused": ""})
    tuned = {"options": {"factors": 16}, "metric": "ndcg@20", "before": 0.1, "after": 0.2}
    path.write_text(json.dumps({"tuned": tuned, "standard_error": 0.01, "trials": trials}))
    for model in ("als", "item_knn", "als"):  # a cleared task replaces what it logged
        mlflow_registry.log_search(run, model, path)
    client = mlflow_registry.connect(run.settings)
    runs = client.search_runs([client.get_experiment_by_name(mlflow_registry.NAME).experiment_id])
    (parent,) = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    nested = {found.info.run_name: found for found in runs if found is not parent}
    assert len(runs) == 3 and set(nested) == {"tuning als", "tuning item_knn"}
    assert {found.data.tags["mlflow.parentRunId"] for found in nested.values()} == {parent.info.run_id}
    history = client.get_metric_history(nested["tuning als"].info.run_id, "ndcg_at_20")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.1), (2, 0.2)]
    assert nested["tuning als"].data.params == {"factors": "16"}
    assert [file.path for file in client.list_artifacts(nested["tuning als"].info.run_id)] == ["tuned.json"]
    assert mlflow_registry.version_of(client, run) is None

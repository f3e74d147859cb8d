"""The result of a search is stored whole, used by the next night, and overridden by hybridrec.toml."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from hybridrec.base.config import Config, Options
from hybridrec.base.settings import Settings
from hybridrec.execution.job import Skip
from hybridrec.opening.new_run import Request, open_run
from hybridrec.registry import mlflow_registry
from hybridrec.report.gathering.collect import collect
from hybridrec.report.pages.page import render
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.tuning import SearchResult, Trial, tuned
from jobs import tune_model
from tests.support import small_world
from tests.support.training_data import random_data


def found(options: Options, model: str = "als") -> SearchResult:
    trials = (Trial({}, 0.1, 1.0, of_users=np.zeros(3)), Trial(options, 0.2, 1.0), Trial({}, -np.inf, 1.0, refused="too big"))
    return SearchResult(model, "ndcg@20", 50, options, bool(options), 0.1, 0.02, trials)


@pytest.fixture
def night(home: Path) -> Run:
    """Provide an opened run over the ingested small world."""
    small_world.write_core_tables()
    return open_run(Request("first", "files"), Settings.from_env())


def next_night(run_id: str = "next", as_of: str | None = None) -> Run:
    return open_run(Request(run_id, "files", as_of=as_of), Settings.from_env())


def keep(run: Run, options: Options, model: str = "als") -> Path:
    return tuned.store_result(run, found(options, model), random_data("time"))


def test_the_next_night_uses_what_was_found(night: Run) -> None:
    keep(night, {"factors": 16, "alpha": 3.0})
    later = next_night()
    assert later.config.options("models", "als") == {"factors": 16, "alpha": 3.0}
    assert later.manifest.tuned["als"].after == 0.2 and later.manifest.tuned["als"].run_id == "first"
    assert list(later.manifest.tuned) == ["als"]
    assert night.manifest.tuned == {} and Run.open("first").config.options("models", "als") == {}  # a run keeps what it began with
    page = render(collect(later, later.manifest.as_of))
    assert "alpha=3, factors=16" in page and "0.1000" in page


def test_hybridrec_toml_goes_first(night: Run) -> None:
    keep(night, {"factors": 16, "alpha": 3.0})
    toml = night.settings.home / "hybridrec.toml"
    toml.write_text("[models.als]\nfactors = 32\niterations = 4\n")
    later = next_night()
    assert later.config.options("models", "als") == {"factors": 32, "iterations": 4, "alpha": 3.0}
    assert later.manifest.tuned["als"].options == {"alpha": 3.0}
    assert tuned.set_by_hand(later, "als") == {"factors": 32, "iterations": 4}
    toml.write_text("[models.als]\nfactors = 32\nalpha = 1.0\n")
    assert next_night("all_by_hand").manifest.tuned == {}


def test_what_does_not_fit_the_night_is_left_aside(night: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    keep(night, {"factors": 16})
    keep(night, {"gone": 1}, "item_knn")
    assert next_night("a").manifest.tuned.keys() == {"als"} and "there is no option 'gone'" in caplog.text
    before = night.manifest.as_of - timedelta(days=5)
    assert next_night("b", before.isoformat()).manifest.tuned == {} and "which this run must not look at" in caplog.text
    (night.settings.home / "hybridrec.toml").write_text('[night]\nsplit = "random_per_user"\n')
    assert next_night("c").manifest.tuned == {} and "they are for split time" in caplog.text
    assert tuned.tuned_models(night.settings, "elsewhere", night.manifest.as_of, Config(), ["als"]) == {}


def test_a_new_version_replaces_the_old_one_and_keeps_its_file(night: Run) -> None:
    first, second = keep(night, {"factors": 16}), keep(night, {})
    assert next_night().manifest.tuned == {}
    assert json.loads(first.read_text())["tuned"]["options"] == {"factors": 16}
    raw = json.loads(second.read_text())
    assert raw["tuned"]["n_trials"] == 3 and raw["trials"][2] == {"options": {}, "ndcg": None, "refused": "too big"}
    assert keep(night, {}).read_bytes() == second.read_bytes()
    other = replace(random_data("time"), last_event_day=random_data("time").last_event_day + 1)
    assert tuned.data_fingerprint(other) != raw["data"]


def test_killed_half_way_leaves_the_old_one(night: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(night, {"factors": 16})
    monkeypatch.setattr(store, "commit", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    child = multiprocessing.get_context("fork").Process(target=keep, args=(night, {"factors": 8}))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(list((night.settings.tuned("files") / "als").glob("attempt-*/tuned.json"))) == 2
    assert next_night().config.options("models", "als") == {"factors": 16}


def test_the_job_searches_what_toml_has_not_fixed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridrec.base import extensions
    from hybridrec.types import Linear, Log

    module = extensions.module("models", "recent_popularity")
    monkeypatch.setattr(module, "SEARCH", {"usual_days": Log(1, 365)}, raising=False)
    logged: list[tuple[str, Path]] = []
    monkeypatch.setattr(mlflow_registry, "log_search", lambda run, model, path: logged.append((model, path)))
    run = small_world.make_run(config=Config(k=10))
    tune_model.main(tune_model.Params("small", "recent_popularity", trials=4, seconds=60))
    ((model, path),) = logged
    raw = json.loads(path.read_text())
    assert model == "recent_popularity" and path.parent.parent == run.settings.tuned("small") / model
    assert raw["tuned"]["metric"] == "ndcg@10" and len(raw["trials"]) == 4
    assert raw["trials"][0]["options"] == {"usual_days": 14.0}
    again = path.read_bytes()
    tune_model.main(tune_model.Params("small", "recent_popularity", trials=4, seconds=60))
    assert store.committed_files(path.parent.parent, ".json")[0].read_bytes() == again

    monkeypatch.setattr(module, "SEARCH", {"usual_days": Linear(5, 6)})
    small_world.make_run("by_hand", Config(k=10, extension_options={"models": {"recent_popularity": {"usual_days": 3.0}}}))
    tune_model.main(tune_model.Params("by_hand", "recent_popularity", trials=4, seconds=60))
    assert len(json.loads(logged[-1][1].read_text())["trials"]) == 1
    monkeypatch.delattr(module, "SEARCH")
    with pytest.raises(Skip, match="recent_popularity declares no SEARCH"):
        tune_model.main(tune_model.Params("small", "recent_popularity"))

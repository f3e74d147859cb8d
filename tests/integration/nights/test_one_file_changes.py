"""A model, a source, a rule and a target, one new file each, take part in a night with no other edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target, recommend
from hybridrec_airflow.steps import load_dag
from tests.support import ROOT, nightly, small_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


FILES = {
    "sources/toy_source.py": '''
"""The small world as a source."""
import sys
import pyarrow as pa
import pyarrow.parquet as pq

DOC = "A toy."

def land(settings, folder, seed):
    sys.path.insert(0, "ROOT")
    from tests.support import small_world
    for part in ("events", "items", "users"):
        (folder / part).mkdir()
        rows = pa.Table.from_pandas(getattr(small_world, part)(), preserve_index=False)
        pq.write_table(rows, folder / part / "all.parquet", coerce_timestamps="us")
''',
    "models/toy_model.py": '''
"""Prefers items with a low number."""
from dataclasses import dataclass
import numpy as np
from hybridrec.retrieval.order import first_unseen

DOC = "A toy."
BECAUSE = "its number is low"
REQUIRED = False

@dataclass(frozen=True)
class Config:
    pass

class Model:
    def __init__(self, config):
        self.scores = np.zeros(0, dtype=np.float32)
    def fit(self, data):
        self.scores = -np.arange(data.matrix.shape[1], dtype=np.float32)
        return {"items": float(len(self.scores))}
    def top_k(self, users, k):
        return first_unseen(self.scores, users.history, k)
    def score_pairs(self, users, rows, items):
        return self.scores[items]
    def save(self, folder):
        np.save(folder / "scores.npy", self.scores)
    @classmethod
    def load(cls, folder, config):
        model = cls(config)
        model.scores = np.load(folder / "scores.npy", allow_pickle=False)
        return model
''',
    "rules/toy_rule.py": '''
"""Give item 0 to no user."""
from hybridrec.rules import Kind

KIND = Kind.FILTER

def apply(ranked, context):
    return ranked[ranked.item_idx != 0]
''',
    "targets/toy_target.py": '''
"""A second SQLite file."""
from hybridrec.targets.sqlite import SqliteTarget

DOC = "A toy."

def connect(settings):
    return SqliteTarget(settings.home / "toy" / "toy.db")
''',
}


def test_toy_extensions_are_picked_up_everywhere(home: Path, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        path = tmp_path / "extensions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ROOT", str(ROOT)).lstrip())
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path / "extensions"))
    monkeypatch.setenv("HYBRIDREC_TARGET", "toy_target")
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")  # the session that runs already
    form = load_dag("nightly_retrain").params
    assert "toy_source" in form.get_param("source").schema["enum"]
    assert "toy_model" in form.get_param("models").schema["items"]["enum"]

    params = {"source": "toy_source", "models": ["popularity", "item_knn", "toy_model"], "k": 5}
    left_out = {"start_spark", "stop_spark"}
    nightly.ByHand("toys", params, left_out, nightly.run_here).run(home, "ingest", "nightly_retrain")

    run = Run.open("toys")
    assert {"score_toy_model", "rank_toy_model"} <= set(run.read("model_candidates", "full").column_names)
    metrics = run.read("out_metrics").to_pandas()
    assert "toy_model" in set(metrics.name)
    assert "toy_model" in (run.artefact("report") / "report.html").read_text()
    published = open_target(Settings.from_env())
    assert (home / "toy" / "toy.db").exists()
    answers = [recommend(published, user, 5) for user in small_world.users().user_id]
    assert len(answers) == small_world.N_USERS
    assert all(len(answer.entries) == 5 for answer in answers)
    assert not any(entry.item_id == "i00" for answer in answers for entry in answer.entries)
    assert any("toy_model" in entry.source for answer in answers for entry in answer.entries)

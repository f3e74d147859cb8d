"""The registered model `hybridrec`: loaded from a version's plain files and this class, never from a pickle.

    mlflow.pyfunc.load_model("models:/hybridrec@champion").predict(pandas.DataFrame({"user_id": ["196"]}), params={"k": 10})

The artefact `home` is a home of one run, so candidates, features and ranking are those of the nightly jobs. The lists
are the ranker's: business rules and the fallback for users without candidates belong to publishing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.pyfunc import PythonModel, PythonModelContext

from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_blocks import candidate_block, is_ordered
from hybridrec.candidates.candidate_set import FeatureFiles, ItemColumns, build_candidates, feature_files, load_items
from hybridrec.candidates.groups import best_first, starts_of
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.policy.policy import Policy, load_policy
from hybridrec.runs.run import Run
from hybridrec.splitting.likes import disliked
from hybridrec.training.fits import load_fit, user_block
from hybridrec.types import Ints, PairScorer

# Code that MLflow keeps with a version and runs to load it. The name of this module is published by it: it must not move.
CODE = """\
import mlflow

from hybridrec.policy.model_bundle import ModelBundle

mlflow.models.set_model(ModelBundle())
"""


class ModelBundle(PythonModel):  # type: ignore[misc]  # mlflow has no types
    """Ranks unseen items for users whom the run knew; an unknown user, or one without candidates, gets an empty list."""

    run: Run
    policy: Policy
    models: dict[str, PairScorer]
    files: FeatureFiles
    items: ItemColumns

    def load_context(self, context: PythonModelContext) -> None:
        """Open the run that the version holds; models are mapped when they are asked, not read."""
        home = Path(context.artifacts["home"])
        self.run = Run.open(next((home / "runs").iterdir()).name, replace(Settings.from_env(), home=home, storage=""))
        self.policy = load_policy(home / "policy")
        names = sorted(path.name for path in (self.run.folder / "models").iterdir())
        self.models = {name: load_fit(name, self.run.artefact(f"models/{name}", "full")) for name in names}
        self.files = feature_files(self.run, "full")
        self.items = load_items(self.files)
        self.user_ids = pd.Index(self.run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")["user_id"].to_pandas())
        self.catalogue = candidate_items(self.run, "full")
        self.item_ids = self.run.read("model_items", columns=["item_idx", "item_id"]).sort_by("item_idx")["item_id"].to_numpy()

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row per row of the input: user_id, item_ids (best first), scores (falling)."""
        k = int((params or {}).get("k", self.run.config.k))
        asked = model_input["user_id"].astype(str)
        user_idx = self.user_ids.get_indexer(asked)
        lists = self._lists(np.unique(user_idx[user_idx >= 0]).astype(np.int32), k)
        answers = [lists.get(int(user), ([], [])) for user in user_idx]
        return pd.DataFrame({"user_id": asked, "item_ids": [items for items, _ in answers], "scores": [scores for _, scores in answers]})

    def _lists(self, users: Ints, k: int) -> dict[int, tuple[list[str], list[float]]]:
        block, config = user_block(self.run, "full", users), self.run.config
        unwanted = disliked(self.run, "full", users)
        batch = candidate_block(self.models, block, self.catalogue, config.pool_k, config.pool_size, unwanted, is_ordered(self.run))
        candidates = build_candidates(pa.Table.from_batches([batch]), self.files, self.items)
        scores = self.policy.score(candidates)
        rows, ranks = best_first(scores, candidates.items, candidates.starts)
        rows = rows[ranks <= k]
        starts = starts_of(candidates.row_users[rows])
        lists = {}
        for first, last in pairwise(starts):
            part = rows[first:last]
            lists[int(candidates.row_users[part[0]])] = (self.item_ids[candidates.items[part]].tolist(), scores[part].tolist())
        return lists

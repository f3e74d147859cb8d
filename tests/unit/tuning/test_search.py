"""The search over a toy model whose best options are known."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.metrics.metrics import Labels
from hybridrec.tuning import Budget, Trial, search
from hybridrec.tuning.trials import choose, judged_lists
from hybridrec.types import TrainingData
from tests.support.training_data import random_data

TOY = '''
"""Lists the held-out items of user 0 to 199 the better, the nearer `depth` is to 32 and `sign` to "plus". For tests."""
from dataclasses import dataclass
import numpy as np
from hybridrec.base.errors import PermanentError
from hybridrec.types import Linear, Log, Neighbours, OneOf

DOC, BECAUSE, REQUIRED = "Toy.", "it is a toy", False
SEARCH = {"depth": Log(2, 512), "sign": OneOf(("minus", "plus")), "slope": Linear(0.0, 1.0)}
TRUTH = None

@dataclass(frozen=True)
class Config:
    depth: int = 4
    sign: str = "minus"
    slope: float = 0.25
    size: int = 3

class Model:
    def __init__(self, config):
        self.config = config
        if config.depth > 300:
            raise PermanentError(f"depth is {config.depth}, expected at most 300")
    def fit(self, data):
        self.seen, self.n_items = data.matrix, data.matrix.shape[1]
        return {}
    def top_k(self, users, k):
        rng = np.random.default_rng(0)
        noise = abs(np.log2(self.config.depth / 32)) + (self.config.sign != "plus")
        scores = TRUTH[users.user_idx] + noise * rng.random((len(users.user_idx), self.n_items))
        scores[users.history.toarray() > 0] = -np.inf
        items = np.argsort(-scores, axis=1)[:, :k].astype(np.int32)
        return Neighbours(items, np.take_along_axis(scores, items, axis=1).astype(np.float32))
    def score_pairs(self, users, rows, items): ...
    def save(self, folder): ...
    @classmethod
    def load(cls, folder, config): ...
'''


@pytest.fixture
def toy(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Provide a model that knows all pairs, more or less clearly, by its options."""
    (tmp_path / "extension" / "models").mkdir(parents=True)
    (tmp_path / "extension" / "models" / "toy_tuned.py").write_text(TOY)
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path / "extension"))
    extensions.module("models", "toy_tuned").TRUTH = data().matrix.toarray()  # type: ignore[attr-defined]
    yield "toy_tuned"
    sys.modules.pop("hybridrec.models.toy_tuned", None)


def data() -> TrainingData:
    return random_data("random_per_user")


def test_finds_the_planted_optimum(toy: str) -> None:
    found = search(toy, data(), {"size": 5}, Budget(40, 60), seed=1, k=10)
    assert found.trials[0].options == {"depth": 4, "sign": "minus", "slope": 0.25}
    assert found.improved and found.best_ndcg == max(trial.ndcg for trial in found.trials) > found.current_ndcg + found.standard_error
    assert found.options["sign"] == "plus" and 16 <= int(found.options["depth"]) <= 64
    assert type(found.options["depth"]) is int and set(found.options) == {"depth", "sign", "slope"}
    refused = [trial for trial in found.trials if trial.refused]
    assert all("expected at most 300" in trial.refused and trial.ndcg == -np.inf for trial in refused)
    again = search(toy, data(), {"size": 5}, Budget(40, 60), seed=1, k=10)
    assert [(trial.options, trial.ndcg) for trial in again.trials] == [(trial.options, trial.ndcg) for trial in found.trials]


def test_never_worse_than_the_current_options(toy: str) -> None:
    best = {"depth": 32, "sign": "plus", "size": 3}
    found = search(toy, data(), best, Budget(12, 60), seed=2, k=10)
    assert not found.improved and found.options == {"depth": 32, "sign": "plus"}  # not slope: it is the model's default
    assert found.current_ndcg == found.best_ndcg == 1.0


@pytest.mark.parametrize(("gains", "improved"), [((0.1, -0.1, 0.2), False), ((0.1, 0.0, 0.2), True)])
def test_only_more_than_one_standard_error_counts(gains: tuple[float, ...], improved: bool) -> None:
    users = np.array([0.5, 0.2, 0.7])
    trials = tuple(Trial({"depth": n}, float(of.mean()), 1.0, of_users=of) for n, of in enumerate((users, users - 1, users + gains)))
    found = choose("toy", "ndcg@10", {"depth": 0}, trials)
    # (0.1, -0.1, 0.2): mean 0.067, standard error 0.153 / sqrt(3) = 0.088; (0.1, 0, 0.2): 0.1 against 0.058
    assert found.improved == improved and found.options == {"depth": 2 if improved else 0}
    assert found.standard_error == pytest.approx(np.std(gains, ddof=1) / 3**0.5)


def test_the_budget_and_what_is_fixed_are_kept_to(toy: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert len(search(toy, data(), {}, Budget(30, 0.0), seed=1).trials) == 1
    assert "toy_tuned trial 1 of 30: ndcg " in caplog.text and "another trial might not end" in caplog.text
    found = search(toy, data(), {"depth": 7}, Budget(30, 60), seed=1, fixed=("depth", "slope"))
    assert {trial.options["sign"] for trial in found.trials} == {"minus", "plus"} and len(found.trials) == 2
    assert set(found.options) == {"sign"}
    assert "optuna" not in caplog.text


def test_current_options_that_are_refused_are_an_error(toy: str) -> None:
    with pytest.raises(PermanentError, match="depth is 400, expected at most 300"):
        search(toy, data(), {"depth": 400}, Budget(3, 60), seed=1)
    with pytest.raises(PermanentError, match="there is no option 'width'"):
        search(toy, data(), {"width": 4}, Budget(3, 60), seed=1)


def test_lists_are_judged_by_hand() -> None:
    labels = Labels(np.array([4, 9], np.int32), np.array([0, 1, 3]), np.array([7, 2, 7], np.int32), np.ones(3, np.float32))
    judged = judged_lists(np.array([[7, 2, -1], [5, -1, -1]], np.int32), labels)
    np.testing.assert_array_equal(judged.hits, [[0], [0], [1]])
    np.testing.assert_array_equal(judged.ideal, [[0, 1, 1], [0, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(judged.n_relevant, [1, 2])

"""The training loop, the sampling and the cut, on examples that can be followed by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.sampling import negatives
from hybridrec.deep.schedule import Schedule
from hybridrec.deep.training_loop import AdamW, reproducible, train
from hybridrec.types import TrainingData
from tests.support import ROOT

# user 0 chose items 0, 1, 2 at ages 5, 1, 3; user 1 chose item 1; no user chose item 3
MATRIX = csr_array(np.array([[1, 1, 1, 0], [0, 1, 0, 0]], dtype=np.float32))
DATA = TrainingData(MATRIX, np.array([5.0, 1, 3, 2]), pd.DataFrame(), np.zeros(4, np.float32), pd.DataFrame(), seed=1, threads=1)


@dataclass
class Slope:
    """Learns one number, whose loss is its distance from 3; it is judged by a list of marks, one an epoch."""

    marks: list[float]
    network: nn.Module = field(default_factory=lambda: nn.Linear(1, 1, bias=False))
    n_examples: int = 10
    seen: list[float] = field(default_factory=list)

    def loss(self, examples: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        assert len(examples) == 10
        return (self.network.weight - 3).abs().sum()

    def judge(self) -> float:
        assert not self.network.training
        self.seen.append(self.network.weight.item())
        return self.marks[len(self.seen) - 1]


SCHEDULE = Schedule(batch_size=10, examples_per_epoch=10, learning_rate=0.1, max_epochs=6, patience=2)


def test_training_stops_without_progress_and_keeps_the_best_epoch() -> None:
    with reproducible(1):
        task = Slope([0.1, 0.5, 0.5, 0.4, 0.3, 0.9])
        fit = train(task, SCHEDULE, 1, "models.slope")
    assert len(task.seen) == 5
    assert (fit.epoch, fit.judgement) == (3, 0.5), "of equals the later"
    assert task.network.weight.item() == task.seen[2]


def test_without_held_out_pairs_the_loss_decides() -> None:
    with reproducible(1):
        fit = train(Slope([float("nan")] * 6), SCHEDULE, 1, "models.slope")
    assert fit.epoch == 6 and fit.judgement == -fit.loss


def test_a_loss_that_is_no_number_says_what_to_do() -> None:
    task = Slope([0.1] * 6)
    with torch.no_grad():
        task.network.weight.fill_(float("inf"))
    with pytest.raises(PermanentError, match=r"lower learning_rate under \[models.slope\]"):
        train(task, SCHEDULE, 1, "models.slope")


def test_the_optimiser_is_torchs_adamw() -> None:
    ours, torchs = ([nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4)), nn.Parameter(torch.ones(2))] for _ in range(2))
    one, other = AdamW(ours, weight_decay=0.01), torch.optim.AdamW(torchs, weight_decay=0.01, fused=True)
    for step in range(1, 6):
        other.param_groups[0]["lr"] = 0.1 / step
        for matrix, unused in (ours, torchs):
            (matrix.sin() ** step).sum().backward()
            if step > 3:  # at first without a gradient
                unused.square().sum().backward()
        one.step(0.1 / step)
        other.step()
        other.zero_grad()
        assert all(torch.equal(left, right) for left, right in zip(ours, torchs, strict=True))
        assert all(parameter.grad is None for parameter in ours)


def test_a_fit_does_not_import_torchs_compiler() -> None:
    fit = "import sys; from tests.unit.deep import test_pair_training as here; here.test_without_held_out_pairs_the_loss_decides()"
    asked = f"{fit}; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_torch_is_left_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with reproducible(1):
        torch.rand(1)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_the_newest_choice_is_held_out() -> None:
    cut = hold_out(DATA, 10)
    assert (cut.held_out.users.tolist(), cut.held_out.items.tolist()) == ([0], [1])  # user 1 has too few items
    assert cut.matrix.toarray().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]
    assert cut.days.tolist() == [5, 3, 2] and cut.examples.items.tolist() == [0, 2, 1]


def test_any_choice_is_held_out_where_there_is_no_time() -> None:
    timeless = replace(DATA, split="random_per_user", last_event_day=np.ones(4))
    assert {int(hold_out(replace(timeless, seed=seed), 10).held_out.items[0]) for seed in range(20)} == {0, 1, 2}


def test_negatives_are_drawn_by_the_root_of_popularity_and_evenly() -> None:
    sampler = negatives(MATRIX)
    root = np.sqrt([1, 2, 1]) / np.sqrt([1, 2, 1]).sum()
    expected = 0.5 / 3 + 0.5 * root
    np.testing.assert_allclose(np.exp(sampler.log_q[:3]), expected, rtol=1e-6)
    drawn = np.bincount(sampler.draw(5000, 4, np.random.default_rng(1)).ravel(), minlength=4)
    assert drawn[3] == 0, "nobody chose it"
    np.testing.assert_allclose(drawn[:3] / 20_000, expected, atol=0.01)


def test_a_users_own_items_are_known() -> None:
    found = negatives(MATRIX).were_chosen(np.array([0, 1]), np.array([[0, 3], [1, 2]]))
    assert found.tolist() == [[True, False], [True, False]]


def test_models_are_listed_without_torch() -> None:
    code = "import sys; from hybridrec.base import extensions; extensions.modules('models'); sys.exit('torch' in sys.modules)"
    assert extensions.names("models") and subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

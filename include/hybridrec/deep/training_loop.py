"""One training loop for every network: AdamW on bounded epochs, stopped by held-out pairs, the best epoch kept."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.adamw import adamw

from hybridrec.base.errors import PermanentError
from hybridrec.deep.distributed import average_gradients, mean, own_draws, share_of
from hybridrec.deep.schedule import Schedule

log = logging.getLogger(__name__)
MIN_EXAMPLES_PER_EPOCH = 2048  # a small data set is gone through more than once an epoch,
MIN_STEPS_PER_EPOCH = 64  # in smaller batches,
MIN_BATCH = 128  # but not in tiny ones


class TrainingTask(Protocol):
    """Training data and evaluation of a network. Examples are numbers from 0 to n_examples - 1."""

    @property
    def network(self) -> nn.Module:
        """The network; the loop switches it between training and evaluation."""

    @property
    def n_examples(self) -> int:
        """Number of examples."""

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return the mean loss of a batch; negatives and drop-outs are drawn by rng."""

    def judge(self) -> float:
        """Return the quality of the ranking of the held-out pairs, higher is better; NaN if there are none."""


class AdamW:
    """torch.optim.AdamW's arithmetic, to the last bit, by torch's own function for it.

    The class itself imports torch's compiler, which nothing here uses: half of what a small network's fit took.
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros(()) for _ in self._parameters]

    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient, and drop the gradients."""
        rows = zip(self._parameters, self._means, self._squares, self._steps, strict=True)
        moved = [(row[0], row[0].grad, *row[1:]) for row in rows if row[0].grad is not None]
        parameters, gradients, means, squares, steps = map(list, zip(*moved, strict=True))
        with torch.no_grad():
            adamw(
                parameters,
                gradients,
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=self._weight_decay,
                eps=1e-8,
                maximize=False,
            )
        for parameter in self._parameters:
            parameter.grad = None


class Fit(NamedTuple):
    """The best epoch. judgement: what TrainingTask.judge gave, or the loss below zero without held-out pairs."""

    epoch: int
    judgement: float
    loss: float
    weights: dict[str, Tensor]


class Step(NamedTuple):
    """Steps of an epoch."""

    task: TrainingTask
    optimiser: AdamW
    learning_rate: float
    draws: np.random.Generator

    def take(self, batch: NDArray[np.int64]) -> float:
        """Learn from a batch; returns its loss."""
        loss = self.task.loss(batch, self.draws)
        loss.backward()
        average_gradients(self.task.network)
        self.optimiser.step(self.learning_rate)
        return float(loss.detach())


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch with one thread: a second one gains nothing, and the bits are the same on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Run torch with one thread and a seeded generator; both are restored afterwards."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_flush_denormal(True)  # gradients that fade away would slow the arithmetic down
        try:
            yield
        finally:
            torch.set_flush_denormal(False)


def train(task: TrainingTask, schedule: Schedule, seed: int, name: str) -> Fit:
    """Train until `patience` epochs bring no progress; the best epoch's weights are returned and loaded.

    name: of the model in the configuration, for messages. PermanentError when the loss is no longer a number.
    Among processes that fit together each takes its share of every batch (hybridrec.deep.distributed).
    """
    rng = np.random.default_rng(seed)
    draws = own_draws(seed, rng)
    optimiser = AdamW(task.network.parameters(), schedule.weight_decay)
    best = Fit(0, -math.inf, math.inf, {})
    for epoch in range(1, schedule.max_epochs + 1):
        start = time.monotonic()
        step = Step(task, optimiser, schedule.learning_rate * (1 - (epoch - 1) / schedule.max_epochs), draws)
        fit = _epoch(step, _batches(task.n_examples, schedule, rng), epoch)
        log.info("%s epoch %d: loss %.4f, held out %.4f, %.1f s", name, epoch, fit.loss, fit.judgement, time.monotonic() - start)
        if not math.isfinite(fit.loss):
            raise PermanentError(f"{name}: training diverged in epoch {epoch}; lower learning_rate under [{name}]")
        if fit.judgement >= best.judgement:  # of equals the later one: it has seen more
            best = fit
        if epoch - best.epoch >= schedule.patience:
            break
    task.network.load_state_dict(best.weights)
    task.network.eval()
    return best


def _epoch(step: Step, batches: Sequence[NDArray[np.int64]], epoch: int) -> Fit:
    task = step.task
    task.network.train()
    loss = mean(float(np.mean([step.take(share_of(batch)) for batch in batches])))
    task.network.eval()
    with torch.no_grad():
        judgement = mean(task.judge())  # all must stop at the same epoch
    weights = {name: value.clone() for name, value in task.network.state_dict().items()}
    return Fit(epoch, -loss if math.isnan(judgement) else judgement, loss, weights)


def _batches(n_examples: int, schedule: Schedule, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return an epoch's batches, of equal size or nearly so."""
    size = min(max(n_examples, MIN_EXAMPLES_PER_EPOCH), schedule.examples_per_epoch)
    rounds = [rng.choice(n_examples, size=min(size, n_examples), replace=False) for _ in range(math.ceil(size / n_examples))]
    order = np.concatenate(rounds)[:size]
    n_steps = max(math.ceil(size / schedule.batch_size), min(MIN_STEPS_PER_EPOCH, size // MIN_BATCH))
    return [np.sort(batch) for batch in np.array_split(order, n_steps)]  # neighbours in memory: look-ups are faster


def save_weights(network: nn.Module, file: Path) -> None:
    """Write a network's weights as safetensors, which cannot hold code."""
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)


def load_weights(network: nn.Module, file: Path) -> None:
    """Fill a network with saved weights."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(file))
    network.eval()

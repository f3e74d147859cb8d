"""Few weights fitted to users' choices by the listwise softmax loss, pulled towards the plain blend.

    loss = mean over users of -sum over rows of target * log softmax(score)   + penalty * |weights|^2

A score is exp(scale) times what a `Scorer` makes of its weights; with all weights 0 that is the blend.

Cao, Qin, Liu, Tsai and Li 2007, Learning to rank: from pairwise approach to listwise approach (ListNet, top one).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.groups import Floats, Starts, group_sums, spread
from hybridrec.types import Doubles

Mask = NDArray[np.bool_]
MAX_STEPS = 60
TOLERANCE = 1e-7  # of the loss, relative; float32 products carry no more


class Scorer(Protocol):
    """Scores of some rows as a function of few weights."""

    @property
    def n_weights(self) -> int:
        """Number of weights."""

    def score(self, weights: Doubles) -> Doubles:
        """Return scores, (n_rows,)."""

    def pull_back(self, weights: Doubles, of_scores: Doubles) -> Doubles:
        """Return the loss's gradient in the weights, (n_weights,), from its gradient in the scores, (n_rows,)."""

    def take(self, rows: Mask) -> Scorer:
        """Return the same for some of the rows."""


class Targets(NamedTuple):
    """Target of the scores.

    starts: the rows of each user. values: float64 (n_rows,), 0 if the user did not choose the item.
    """

    starts: Starts
    values: Doubles


def targets_of(gains: Floats, starts: Starts, weights: Doubles | None = None) -> Targets:
    """Return each user's gains over the number of this user's labels, then over the mean user's sum.

    So a user with a hundred labels counts as much as one with two, while a gain that stands for several (an inverse
    propensity) keeps its size. weights: (n_rows,), how much the row's user counts; a loss is proportional to its targets.
    """
    n_labels = np.maximum(group_sums((gains > 0).astype(np.float64), starts), 1.0)
    values = gains / spread(n_labels, starts)
    values = values if weights is None else values * weights
    return Targets(starts, values * (len(starts) - 1) / max(float(values.sum()), 1e-12))


def user_losses(scores: Doubles, targets: Targets) -> tuple[Doubles, Doubles]:
    """Return each user's loss, (n_users,), and the gradient of their sum in the scores, (n_rows,)."""
    starts, values = targets
    shifted = scores - spread(np.maximum.reduceat(scores, starts[:-1]), starts)
    odds = np.exp(shifted)
    totals, of_users = group_sums(odds, starts), group_sums(values, starts)
    losses = of_users * np.log(totals) - group_sums(values * shifted, starts)
    return losses, odds * spread(of_users / totals, starts) - values


def fit_weights(scorer: Scorer, targets: Targets, penalty: float, start: Doubles) -> Doubles:
    """Return the weights with the least loss, (n_weights,); start: where the search begins."""
    from scipy.optimize import fmin_l_bfgs_b

    n_users = len(targets.starts) - 1

    def objective(parameters: Doubles) -> tuple[float, Doubles]:
        scale, weights = np.exp(parameters[0]), parameters[1:]
        plain = scorer.score(weights)
        losses, of_scores = user_losses(scale * plain, targets)
        of_scale = scale * float(plain @ of_scores) / n_users
        of_weights = scorer.pull_back(weights, scale * of_scores) / n_users + 2 * penalty * weights
        return float(losses.mean()) + penalty * float(weights @ weights), np.concatenate([[of_scale], of_weights])

    solution, _, _ = fmin_l_bfgs_b(objective, np.concatenate([[0.0], start]), factr=TOLERANCE / np.finfo(np.float64).eps, maxiter=MAX_STEPS)
    return np.asarray(solution[1:], dtype=np.float64)

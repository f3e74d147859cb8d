"""Estimate the rewards of a run's arms and probabilities from the outcomes of earlier draws."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.base import extensions
from hybridrec.estimators import FOLDER, Estimate, Logged, estimate
from hybridrec.exploration.draws import Draws, load_draws
from hybridrec.exploration.outcomes import night_outcomes
from hybridrec.exploration.posterior import cells_of
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.tables import table
from hybridrec.types import Doubles, Longs

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

THIS_RUN, LOGGED, ALL = "this_run", "logged", "all"
OUTCOMES = ("clicked", "reward")
HALVES = 2  # of the users: the model that judges one half has learnt from the other
SMOOTHING = 20.0  # draws by which an arm's mean is pulled to that of its segment

logger = logging.getLogger(__name__)


class Log(NamedTuple):
    """Outcomes as arrays, (n_rows,): position of segment and arm, logged probability, number of the user, outcomes by name."""

    segments: Longs
    arms: Longs
    probabilities: Doubles
    users: Longs
    outcomes: dict[str, Doubles]

    def take(self, rows: NDArray[np.bool_]) -> Log:
        """Return some of the rows."""
        outcomes = {name: values[rows] for name, values in self.outcomes.items()}
        return Log(self.segments[rows], self.arms[rows], self.probabilities[rows], self.users[rows], outcomes)


def night_estimates(run: Run) -> pa.Table:
    """Return out_ope of the run; empty without arms or without outcomes of them."""
    draws = load_draws(run)
    log = None if draws is None else log_of(night_outcomes(run), tuple(arm.name for arm in draws.arms))
    rows = [] if log is None or draws is None else estimate_all(log, draws)
    return _as_table(rows)


def log_of(outcomes: pa.Table, arms: tuple[str, ...]) -> Log:
    """Return the outcomes of the versions that had these arms and no others.

    Among the draws of a version with another arm, or without one of these, the rest would not be weighed by their own probabilities.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    of_version: dict[str, set[str]] = {}
    for pair in outcomes.select(["version", "arm"]).group_by(["version", "arm"]).aggregate([]).to_pylist():
        of_version.setdefault(pair["version"], set()).add(pair["arm"].split(":", 1)[1])
    same = [version for version, names in of_version.items() if names == set(arms)]
    if n_others := len(of_version) - len(same):
        logger.info("estimates: %d of %d versions had other arms, and are left out", n_others, len(of_version))
    outcomes = outcomes.filter(pc.is_in(outcomes["version"], pa.array(same, pa.string())))
    cells = cells_of(outcomes, arms)
    users = outcomes["user_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    values = {name: outcomes[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in OUTCOMES}
    whole = Log(cells // len(arms), cells % len(arms), outcomes["arm_probability"].to_numpy(), users, values)
    return whole.take(cells >= 0)


def estimate_all(log: Log, draws: Draws) -> list[dict[str, object]]:
    """Return rows of out_ope: each policy for each segment and all of them, by each estimator and outcome."""
    rows = []
    for segment in (ALL, *SEGMENTS):
        part = log if segment == ALL else log.take(log.segments == SEGMENTS.index(segment))
        if not len(part.arms):
            continue
        for outcome in OUTCOMES:
            model = cross_fitted(part, outcome, draws.distribution.shape)
            for policy, wanted in policies(draws).items():
                logged = logged_for(part, outcome, wanted, model)
                found = ((name, estimate(name, logged)) for name in extensions.names(FOLDER))
                rows += [_row(policy, segment, outcome, name, result) for name, result in found]
    return rows


def policies(draws: Draws) -> dict[str, Doubles | None]:
    """Return the probabilities of each candidate policy, (n_segments, n_arms); None: those that were logged."""
    alone = np.eye(len(draws.arms))
    candidates: dict[str, Doubles | None] = {arm.name: np.tile(alone[number], (len(SEGMENTS), 1)) for number, arm in enumerate(draws.arms)}
    return candidates | {THIS_RUN: draws.distribution, LOGGED: None}


def logged_for(log: Log, outcome: str, wanted: Doubles | None, model: Doubles) -> Logged:
    """Return the rows as estimators take them. model: (n_rows, n_arms), what it expects of each arm for the row's user."""
    at = np.arange(len(log.arms))
    predicted = model[at, log.arms]
    if wanted is None:
        return Logged(log.outcomes[outcome], np.ones(len(at)), log.users, predicted, predicted)
    weights = wanted[log.segments, log.arms] / log.probabilities
    return Logged(log.outcomes[outcome], weights, log.users, predicted, (wanted[log.segments] * model).sum(axis=1))


def cross_fitted(log: Log, outcome: str, shape: tuple[int, ...]) -> Doubles:
    """Return the mean outcome of each arm in the row's segment among the other half of the users, (n_rows, n_arms).

    Means are weighed by 1 / probability, and those of few draws lie near the segment's.
    """
    half = log.users % HALVES
    cells = log.segments * shape[1] + log.arms
    model = np.zeros((len(cells), shape[1]))
    for number in range(HALVES):
        others = half != number
        weights = 1 / log.probabilities[others]
        sums = np.bincount(cells[others], weights * log.outcomes[outcome][others], shape[0] * shape[1]).reshape(shape)
        totals = np.bincount(cells[others], weights, shape[0] * shape[1]).reshape(shape)
        of_segment = sums.sum(axis=1, keepdims=True) / np.maximum(totals.sum(axis=1, keepdims=True), 1e-12)
        means = (sums + SMOOTHING * of_segment) / (totals + SMOOTHING)
        model[half == number] = means[log.segments[half == number]]
    return model


def _row(policy: str, segment: str, outcome: str, name: str, found: Estimate) -> dict[str, object]:
    figures = (None, None, None) if found.refused else (found.value, found.low, found.high)
    values: dict[str, object] = dict(zip(("value", "low", "high"), figures, strict=True))
    rest: dict[str, object] = {"effective": found.effective, "n_rows": found.n_rows, "refused": found.refused or None}
    return {"policy": policy, "segment": segment, "outcome": outcome, "estimator": name} | values | rest


def _as_table(rows: list[dict[str, object]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, table("out_ope").arrow_schema())

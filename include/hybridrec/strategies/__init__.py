"""Hybridisation strategies: one file each, found by file name, all judged every night on the holdout split.

An extension has `DOC` (one line), a frozen `Config` with its options, and `Strategy`, which turns a candidate set into scores. One
that learns has `fit`, `save`, `load` and `unfitted` besides; it is trained on the ranker split and kept as an artefact of
the run. A candidate set is the same object on every split, so a strategy cannot tell training from scoring.

    strategies.create("switching", config).score(candidates)
    strategies.load("stacking", config, run.artefact("strategies/stacking")).score(candidates)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from hybridrec.base import extensions
from hybridrec.base.config import Config, with_options
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats

FOLDER = "strategies"
DEFAULT = "stacking"  # published unless another list is better


@runtime_checkable
class Strategy(Protocol):
    """Turns the candidates of some users into one score a row."""

    def __init__(self, config: Any) -> None: ...

    def score(self, candidates: CandidateSet) -> Floats:
        """Return float32 (n_rows,), higher is better; NaN leaves the row out of the user's list.

        A user's scores depend on this user's rows only, so a candidate set may be cut into blocks of users.
        """


@runtime_checkable
class LearntStrategy(Strategy, Protocol):
    """A strategy that learns from the label window of the ranker split."""

    def fit(self, candidates: CandidateSet, gains: Floats, seed: int, threads: int) -> dict[str, float]:
        """Learn from gains, float32 (n_rows,), 0 if the user did not choose the item; returns metrics of the fit."""

    def unfitted(self) -> LearntStrategy:
        """Return a new one for a fit with the same choices, without searching for them again."""

    def save(self, folder: Path) -> None:
        """Write arrays, JSON or LightGBM text; nothing whose loading could run code."""

    @classmethod
    def load(cls, folder: Path, config: Any) -> LearntStrategy:
        """Return the saved strategy."""


@runtime_checkable
class CarryingStrategy(LearntStrategy, Protocol):
    """A strategy that goes on from what an earlier night has learnt."""

    def carry(self, folder: Path | None) -> None:
        """Go on from the folder that an earlier night's `save` has filled, None without one; called before `fit`."""


@runtime_checkable
class ExplainingStrategy(Strategy, Protocol):
    """A strategy that can say what moved a score."""

    def top_features(self, candidates: CandidateSet, rows: Any) -> list[list[str]]:
        """List the names of the columns that moved each row's score most, largest first."""


def create(name: str, config: Config) -> Strategy:
    """Return a strategy with the night's options, not fitted; PermanentError names the choices."""
    module = extensions.module(FOLDER, name)
    return cast(Strategy, module.Strategy(_options(name, config)))


def load(name: str, config: Config, folder: Path | None) -> Strategy:
    """Return a strategy ready to score: from its artefact folder if it learns, else made from its options."""
    if not learns(name) or folder is None:
        return create(name, config)
    return cast(Strategy, extensions.module(FOLDER, name).Strategy.load(folder, _options(name, config)))


def learns(name: str) -> bool:
    """Return whether the strategy has to be fitted."""
    return hasattr(extensions.module(FOLDER, name).Strategy, "fit")


def artefact_name(name: str) -> str:
    """Return the name of the run's artefact that keeps a fitted strategy."""
    return f"{FOLDER}/{name}"


def _options(name: str, config: Config) -> Any:
    return with_options(extensions.module(FOLDER, name).Config(), config.options(FOLDER, name), f"[strategies.{name}]")

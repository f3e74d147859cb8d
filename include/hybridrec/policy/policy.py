"""Apply the choice of a list, a strategy's or a model's own, for each history segment; evaluation/comparisons.py makes the choice.

A policy is a self-contained folder, so last month's champion can still rank:

    policy/decision.json        the segments' choices with their reasons
    policy/run.json             the run that made it, for its options
    policy/strategies/<name>/   the fitted strategies
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.base.config import Config, stored_config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows
from hybridrec.policy.ensemble import Kind, Part, ensemble_scores
from hybridrec.splitting.mix import segments_of
from hybridrec.storage import shared_files, store

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

ListKind = Literal["source", "scorer", "strategy", "ensemble"]
ENSEMBLE: Final = "ensemble"
DECISION, RUN, STRATEGIES = "decision.json", "run.json", "strategies"


@dataclass(frozen=True)
class Choice:
    """The list that a segment's users get, and why, in a sentence. parts: of an ensemble."""

    kind: ListKind
    name: str
    reason: str
    parts: tuple[Part, ...] = ()

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that it needs."""
        own = (self.name,) if self.kind == "strategy" else ()
        return own + tuple(part.name for part in self.parts if part.kind == "strategy")


class Policy:
    """Scores a candidate set as it is published: every user by the choice of the user's segment."""

    def __init__(self, choices: dict[str, Choice], ready: dict[str, strategies.Strategy], light_max_items: int) -> None:
        self.choices = choices
        self.ready = ready
        self.light_max_items = light_max_items

    def segments(self, candidates: CandidateSet) -> NDArray[np.str_]:
        """Return each user's segment, (n_users,)."""
        return segments_of(candidates.n_history, self.light_max_items)

    def score(self, candidates: CandidateSet) -> Floats:
        """Return float32 (n_rows,), higher is better; NaN: not in the user's list."""
        of_rows = np.repeat(self.segments(candidates), np.diff(candidates.starts))
        scores = np.full(len(candidates.items), np.nan, dtype=np.float32)
        for choice in sorted({(choice.kind, choice.name, choice.parts) for choice in self.choices.values()}):
            chosen = [name for name, of_segment in self.choices.items() if (of_segment.kind, of_segment.name, of_segment.parts) == choice]
            rows = np.isin(of_rows, chosen)
            part = candidates.rows_of(candidates.users[np.isin(self.segments(candidates), chosen)])
            scores[rows] = self._score_list(part, *choice)
        return scores

    def list_names(self, candidates: CandidateSet) -> NDArray[np.str_]:
        """Return the name of each user's list, (n_users,)."""
        names = {segment: choice.name for segment, choice in self.choices.items()}
        return np.array([names[segment] for segment in self.segments(candidates)], dtype=object)

    def top_features(self, candidates: CandidateSet, rows: Rows) -> list[list[str]]:
        """List the names of the columns that moved each row's score most; empty for lists that cannot say."""
        of_rows = np.repeat(self.segments(candidates), np.diff(candidates.starts))[rows]
        named: list[list[str]] = [[] for _ in rows]
        for segment, choice in self.choices.items():
            named_by = [self.ready[name] for name in choice.strategies if isinstance(self.ready[name], strategies.ExplainingStrategy)]
            at = np.flatnonzero(of_rows == segment)
            if len(at) and named_by:
                strategy = cast(strategies.ExplainingStrategy, named_by[0])
                for index, names in zip(at, strategy.top_features(candidates, rows[at]), strict=True):
                    named[index] = names
        return named

    def require_fit(self, candidates: CandidateSet) -> None:
        """Raise PermanentError if a chosen retriever or a ranker's column is missing from the candidates, or unknown ones are there."""
        sample = candidates.rows_of(candidates.users[:1])
        for choice in self.choices.values():
            self._score_list(sample, choice.kind, choice.name, choice.parts)

    def _score_list(self, candidates: CandidateSet, kind: ListKind, name: str, parts: tuple[Part, ...]) -> Floats:
        if kind == ENSEMBLE:
            return ensemble_scores(candidates, parts, self.score_strategy)
        return self.score_strategy(name, candidates) if kind == "strategy" else single_model_scores(candidates, kind, name)

    def score_strategy(self, name: str, candidates: CandidateSet) -> Floats:
        """Return the scores of a strategy that is ready."""
        return self.ready[name].score(candidates)


def single_model_lists(candidates: CandidateSet) -> list[tuple[Kind, str]]:
    """Return the kind and name of each model that has columns in the candidates, the retrievers first."""
    return [*(("source", name) for name in candidates.retrievers), *(("scorer", name) for name in candidates.scorers)]


def single_model_scores(candidates: CandidateSet, kind: ListKind, name: str) -> Floats:
    """Return the list that a retriever or a pair scorer makes by itself, as scores of the candidates' rows."""
    return retriever_scores(candidates, name) if kind == "source" else scorer_scores(candidates, name)


def retriever_scores(candidates: CandidateSet, retriever: str) -> Floats:
    """Return a retriever's own list: 1 / rank of its candidates, NaN for the rest; PermanentError for an unknown retriever."""
    if retriever not in candidates.retrievers:
        raise PermanentError(f"retriever {retriever!r} has no candidates here; choose from {', '.join(candidates.retrievers)}")
    return (1 / candidates.features[f"rank_{retriever}"]).astype(np.float32)


def scorer_scores(candidates: CandidateSet, scorer: str) -> Floats:
    """Return a pair scorer's own list: all candidates by its score, NaN without one; PermanentError for an unknown scorer."""
    if scorer not in candidates.scorers:
        raise PermanentError(f"pair scorer {scorer!r} has no candidates here; choose from {', '.join(candidates.scorers) or 'none'}")
    return candidates.features[f"score_{scorer}"]


def load_policy(folder: Path, more: tuple[str, ...] = ()) -> Policy:
    """Return the policy in a folder, ready to score. more: strategies besides those of its choices that shall be ready."""
    config = _config(folder)
    choices = read_choices(folder / DECISION)
    names = sorted({name for choice in choices.values() for name in choice.strategies} | set(more))
    ready = {name: strategies.load(name, config, folder / STRATEGIES / name) for name in names}
    return Policy(choices, ready, config.light_max_items)


def loadable_strategies(folder: Path) -> tuple[str, ...]:
    """List the strategies that a policy's folder holds or that need nothing."""
    fitted = {path.name for path in (folder / STRATEGIES).iterdir()} if (folder / STRATEGIES).is_dir() else set()
    known = extensions.names(strategies.FOLDER)
    return tuple(name for name in known if name in fitted or not strategies.learns(name))


def save_policy(run: Run, choices: dict[str, Choice], folder: Path) -> None:
    """Write a policy of this run: its choices and every strategy that it has fitted."""
    folder.mkdir(parents=True, exist_ok=True)
    write_choices(folder / DECISION, choices, {})
    (folder / RUN).write_text(shared_files.read_text(run.folder / RUN))
    for name in fitted_strategies(run):
        shutil.copytree(run.artefact(strategies.artefact_name(name)), folder / STRATEGIES / name)


def fitted_strategies(run: Run) -> tuple[str, ...]:
    """List the names of the strategies that train_ranker has committed in this run."""
    folder = run.folder / strategies.FOLDER
    return tuple(name for name in shared_files.children(folder) if store.is_committed(folder / name))


def read_choices(path: Path) -> dict[str, Choice]:
    """Return the choices of a decision.json."""
    segments = json.loads(path.read_text())["segments"]
    return {name: Choice(raw["kind"], raw["strategy"], raw["reason"], _parts(raw.get("parts", []))) for name, raw in segments.items()}


def ensemble_of(parts: tuple[Part, ...], reason: str) -> Choice:
    """Return the choice of an ensemble."""
    return Choice(ENSEMBLE, ENSEMBLE, reason, parts)


def write_choices(path: Path, choices: dict[str, Choice], figures: dict[str, object]) -> None:
    """Write a decision.json; figures are kept beside the choices for the report."""
    segments: dict[str, dict[str, object]] = {}
    for name, choice in choices.items():
        segments[name] = {"kind": choice.kind, "strategy": choice.name, "reason": choice.reason}
        segments[name] |= {"parts": [part._asdict() for part in choice.parts]} if choice.parts else {}
    store.write_json(path, {"segments": segments} | figures)


def _parts(raw: list[dict[str, Any]]) -> tuple[Part, ...]:
    return tuple(Part(part["kind"], part["name"], part["share"]) for part in raw)


def _config(folder: Path) -> Config:
    return stored_config(json.loads((folder / RUN).read_text())["config"])

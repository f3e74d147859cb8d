"""Fixed weights over scores that are made comparable within each user's candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import NORMALISERS, Floats

DOC = "Weighted sum of the retrievers' normalised scores, equal weights by default."


@dataclass(frozen=True)
class Config:
    """Options.

    normaliser: `zscore`, `minmax` or `rank`.
    weights: as "als=2,popularity=0.5"; a model that is not named weighs 1.
    """

    normaliser: str = "zscore"
    weights: str = ""


class Strategy:
    """See the module; a retriever without a score for the pair takes no part in the pair's mean."""

    def __init__(self, config: Config) -> None:
        require_normaliser("weighted", config.normaliser)
        self.config = config

    def score(self, candidates: CandidateSet) -> Floats:
        """Return weighted mean of the normalised scores that exist, float32 (n_rows,)."""
        weights = by_retriever(self.config.weights, candidates.retrievers, "[strategies.weighted] weights")
        return blend(candidates, weights, self.config.normaliser)


def blend(candidates: CandidateSet, weights: dict[str, float], normaliser: str = "zscore") -> Floats:
    """Return weighted mean of the retrievers' normalised scores, float32 (n_rows,); 0 without any."""
    total, weight = np.zeros(len(candidates.items)), np.zeros(len(candidates.items))
    for retriever, of_retriever in sorted(weights.items()):
        scores = normalised(candidates, retriever, normaliser)
        total += of_retriever * np.nan_to_num(scores)
        weight += of_retriever * ~np.isnan(scores)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)


def named_retrievers(names: str, candidates: CandidateSet) -> tuple[str, ...]:
    """Return the retrievers of the candidates among names written with commas; a name that the candidates lack is ignored."""
    wanted = {name.strip() for name in names.split(",")}
    return tuple(retriever for retriever in candidates.retrievers if retriever in wanted)


def require_normaliser(strategy: str, name: str) -> None:
    """Raise PermanentError for a normaliser that is not known."""
    if name not in NORMALISERS:
        raise PermanentError(f"[strategies.{strategy}]: normaliser {name!r}; choose from {', '.join(NORMALISERS)}")


def by_retriever(text: str, retrievers: tuple[str, ...], where: str) -> dict[str, float]:
    """Return a number for each retriever from "als=2,popularity=0.5", 1 by default.

    A model that is missing from the candidates is ignored. PermanentError for a name that is neither, or a negative number.
    """
    numbers = dict.fromkeys(retrievers, 1.0)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        name = name.strip()
        number = _number(where, name, value)
        if name in numbers:
            numbers[name] = number
        elif name not in extensions.names("models"):
            raise PermanentError(f"{where}: there is no retriever {name!r}; choose from {', '.join(retrievers)}")
    return numbers


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < np.inf:
        raise PermanentError(f"{where}: {name}={text!r}, expected a number of at least 0")
    return value


def normalised(candidates: CandidateSet, retriever: str, normaliser: str) -> Floats:
    """Return a retriever's scores, comparable within each user's candidates, float32 (n_rows,); NaN where it has none."""
    if normaliser == "zscore":
        return candidates.features[f"z_{retriever}"]
    return NORMALISERS[normaliser](candidates.features[f"score_{retriever}"], candidates.starts)

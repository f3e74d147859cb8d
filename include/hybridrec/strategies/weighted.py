"""Fixed weights over scores that are made comparable within each user's pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.errors import BadData
from hybridrec.ranking.groups import NORMALISERS, Floats
from hybridrec.ranking.pool import Pool

DOC = "Weighted sum of the sources' normalised scores, equal weights by default."


@dataclass(frozen=True)
class Config:
    """Options.

    normaliser: zscore, minmax or rank. weights: as "als=2,popularity=0.5"; a source that is not named weighs 1.
    """

    normaliser: str = "zscore"
    weights: str = ""


class Strategy:
    """See the module; a source without a score for the pair takes no part in the pair's mean."""

    def __init__(self, config: Config) -> None:
        if config.normaliser not in NORMALISERS:
            raise BadData(f"[strategies.weighted]: normaliser {config.normaliser!r}; choose from {', '.join(NORMALISERS)}")
        self.config = config

    def score(self, pool: Pool) -> Floats:
        """Weighted mean of the normalised scores that exist, float32 (n_rows,)."""
        weights = parse_weights(self.config.weights, pool.sources)
        return blend(pool, weights, self.config.normaliser)


def blend(pool: Pool, weights: dict[str, float], normaliser: str = "zscore") -> Floats:
    """Weighted mean of the sources' normalised scores, float32 (n_rows,); 0 where none of them has a score."""
    total, weight = np.zeros(len(pool.items)), np.zeros(len(pool.items))
    for source, of_source in sorted(weights.items()):
        scores = _normalised(pool, source, normaliser)
        total += of_source * np.nan_to_num(scores)
        weight += of_source * ~np.isnan(scores)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)


def parse_weights(text: str, sources: tuple[str, ...]) -> dict[str, float]:
    """Weights by source from "als=2,popularity=0.5"; BadData for a source that the pool lacks or a negative weight."""
    weights = dict.fromkeys(sources, 1.0)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        name = name.strip()
        if name not in weights:
            raise BadData(f"[strategies.weighted] weights: there is no source {name!r}; choose from {', '.join(sources)}")
        weights[name] = _number(name, value)
    return weights


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < np.inf:
        raise BadData(f"[strategies.weighted] weights: {name}={text!r}, expected a number of at least 0")
    return value


def _normalised(pool: Pool, source: str, normaliser: str) -> Floats:
    if normaliser == "zscore":
        return pool.features[f"z_{source}"]
    return NORMALISERS[normaliser](pool.features[f"score_{source}"], pool.starts)

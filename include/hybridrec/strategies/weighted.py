"""Fixed weights over scores that are made comparable within each user's pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.errors import BadData
from hybridrec.candidates.groups import NORMALISERS, Floats
from hybridrec.candidates.pool import Pool

DOC = "Weighted sum of the sources' normalised scores, equal weights by default."


@dataclass(frozen=True)
class Config:
    """Options.

    normaliser: `zscore`, `minmax` or `rank`.
    weights: as "als=2,popularity=0.5"; a model that is not named weighs 1.
    """

    normaliser: str = "zscore"
    weights: str = ""


class Strategy:
    """See the module; a source without a score for the pair takes no part in the pair's mean."""

    def __init__(self, config: Config) -> None:
        require_normaliser("weighted", config.normaliser)
        self.config = config

    def score(self, pool: Pool) -> Floats:
        """Weighted mean of the normalised scores that exist, float32 (n_rows,)."""
        weights = by_source(self.config.weights, pool.sources, "[strategies.weighted] weights")
        return blend(pool, weights, self.config.normaliser)


def blend(pool: Pool, weights: dict[str, float], normaliser: str = "zscore") -> Floats:
    """Weighted mean of the sources' normalised scores, float32 (n_rows,); 0 where none of them has a score."""
    total, weight = np.zeros(len(pool.items)), np.zeros(len(pool.items))
    for source, of_source in sorted(weights.items()):
        scores = normalised(pool, source, normaliser)
        total += of_source * np.nan_to_num(scores)
        weight += of_source * ~np.isnan(scores)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)


def named_sources(names: str, pool: Pool) -> tuple[str, ...]:
    """The sources of the pool among names written with commas; a name that the pool lacks is passed over."""
    wanted = {name.strip() for name in names.split(",")}
    return tuple(source for source in pool.sources if source in wanted)


def require_normaliser(strategy: str, name: str) -> None:
    """BadData for a normaliser that is not known."""
    if name not in NORMALISERS:
        raise BadData(f"[strategies.{strategy}]: normaliser {name!r}; choose from {', '.join(NORMALISERS)}")


def by_source(text: str, sources: tuple[str, ...], where: str) -> dict[str, float]:
    """A number for each source from "als=2,popularity=0.5", 1 where none is written.

    A model that is not in tonight's pool is passed over. BadData for a name that is neither, or a negative number.
    """
    numbers = dict.fromkeys(sources, 1.0)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        name = name.strip()
        number = _number(where, name, value)
        if name in numbers:
            numbers[name] = number
        elif name not in extensions.names("models"):
            raise BadData(f"{where}: there is no source {name!r}; choose from {', '.join(sources)}")
    return numbers


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < np.inf:
        raise BadData(f"{where}: {name}={text!r}, expected a number of at least 0")
    return value


def normalised(pool: Pool, source: str, normaliser: str) -> Floats:
    """A source's scores, comparable within each user's pool, float32 (n_rows,); NaN where it has none."""
    if normaliser == "zscore":
        return pool.features[f"z_{source}"]
    return NORMALISERS[normaliser](pool.features[f"score_{source}"], pool.starts)

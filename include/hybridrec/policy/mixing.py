"""Mix lists by shares: where it is open which of them is best, some of each is better than a guess.

Each list's scores become standard scores within the user's rows, so that no list outshouts another, and are added by their shares. A
single retriever's list counts all pairs that it scores, not only those that it retrieved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, zscore

Kind = Literal["source", "scorer", "strategy"]
ScoreList = Callable[[str, CandidateSet], Floats]  # a strategy's scores by its name


class Part(NamedTuple):
    """A list of a mix, and its share: above 0, all together 1."""

    kind: Kind
    name: str
    share: float


def mixed_scores(candidates: CandidateSet, parts: tuple[Part, ...], score_list: ScoreList) -> Floats:
    """Return the sum of the parts' comparable scores by their shares, float32 (n_rows,)."""
    total = np.zeros(len(candidates.items))
    for part in parts:
        total += part.share * comparable(candidates, part.kind, part.name, score_list)
    return total.astype(np.float32)


def comparable(candidates: CandidateSet, kind: Kind, name: str, score_list: ScoreList) -> Floats:
    """Return a list's standard scores within each user's rows, float32 (n_rows,); a row that it leaves out has the user's lowest."""
    scores = score_list(name, candidates) if kind == "strategy" else candidates.features[f"score_{name}"]
    z = zscore(scores, candidates.starts)
    lowest = np.fmin.reduceat(z, candidates.starts[:-1]) if len(z) else z
    return np.where(np.isnan(z), np.nan_to_num(np.repeat(lowest, np.diff(candidates.starts))), z).astype(np.float32)

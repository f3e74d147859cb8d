"""The compiled part of ranking/forest.py. Imported inside functions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.compiled import compiled
from hybridrec.ranking.forest import Nodes
from hybridrec.ranking.groups import Floats

ALL = ~np.uint64(0)
# a power of two is the only bit of itself: modulo 67 all 64 of them differ
PLACE = np.array([{pow(2, place, 67): place for place in range(64)}.get(rest, 0) for rest in range(67)], dtype=np.int64)


@compiled
def score(matrix: Floats, nodes: Nodes, of_missing: Nodes, leaves: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    """Fill scores (n_rows,) with the sums of each row's leaves, tree by tree."""
    left = np.empty(len(leaves), np.uint64)
    for row in range(len(matrix)):
        left[:] = ALL
        for feature in range(len(nodes.starts) - 1):
            value = matrix[row, feature]
            if np.isnan(value):
                for node in range(of_missing.starts[feature], of_missing.starts[feature + 1]):
                    left[of_missing.trees[node]] &= of_missing.left[node]
                continue
            for node in range(nodes.starts[feature], nodes.starts[feature + 1]):
                if value <= nodes.thresholds[node]:
                    break
                left[nodes.trees[node]] &= nodes.left[node]
        total = 0.0
        for tree in range(len(leaves)):
            lowest = left[tree] & (~left[tree] + np.uint64(1))
            total += leaves[tree, PLACE[lowest % np.uint64(67)]]
        scores[row] = total

"""The compiled part of ranking/forest.py. Imported inside functions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.compiled import compiled
from hybridrec.candidates.groups import Floats
from hybridrec.ranking.forest_arrays import MAX_LEAVES, Nodes, Paths

ALL = ~np.uint64(0)
# a power of two is the only bit of itself: modulo 67 all 64 of them differ
BIT_INDEX = np.array([{pow(2, bit, 67): bit for bit in range(64)}.get(rest, 0) for rest in range(67)], dtype=np.int64)


@compiled
def find_leaves(row: Floats, nodes: Nodes, of_missing: Nodes, left: NDArray[np.uint64]) -> None:
    """Fill left (n_trees,) so that the lowest bit of each tree is the row's leaf."""
    left[:] = ALL
    for feature in range(len(nodes.starts) - 1):
        value = row[feature]
        if np.isnan(value):
            for node in range(of_missing.starts[feature], of_missing.starts[feature + 1]):
                left[of_missing.trees[node]] &= of_missing.left[node]
            continue
        for node in range(nodes.starts[feature], nodes.starts[feature + 1]):
            if value <= nodes.thresholds[node]:
                break
            left[nodes.trees[node]] &= nodes.left[node]


@compiled
def lowest(bits: np.uint64) -> int:
    """Return the number of the lowest bit that is set."""
    index: int = BIT_INDEX[(bits & (~bits + np.uint64(1))) % np.uint64(67)]
    return index


@compiled
def score(matrix: Floats, nodes: Nodes, of_missing: Nodes, leaves: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    """Fill scores (n_rows,) with the sums of each row's leaves, tree by tree."""
    left = np.empty(len(leaves), np.uint64)
    for row in range(len(matrix)):
        find_leaves(matrix[row], nodes, of_missing, left)
        total = 0.0
        for tree in range(len(leaves)):
            total += leaves[tree, lowest(left[tree])]
        scores[row] = total


@compiled
def move(matrix: Floats, nodes: Nodes, of_missing: Nodes, paths: Paths, moved: NDArray[np.float64]) -> None:
    """Add to moved (n_rows, n_features) what the steps to each row's leaves move."""
    n_trees = len(paths.starts) // MAX_LEAVES
    left = np.empty(n_trees, np.uint64)
    for row in range(len(matrix)):
        find_leaves(matrix[row], nodes, of_missing, left)
        for tree in range(n_trees):
            leaf = tree * MAX_LEAVES + lowest(left[tree])
            for step in range(paths.starts[leaf], paths.starts[leaf + 1]):
                moved[row, paths.features[step]] += paths.moves[step]

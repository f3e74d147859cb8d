"""A forest as arrays: what ranking/forest.py makes of LightGBM's trees and the compiled loops go through. Needs no numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.groups import Floats

MAX_LEAVES = 64  # the bits of a number


class Nodes(NamedTuple):
    """Inner nodes sorted by feature, then threshold; those of feature f are starts[f]:starts[f + 1].

    thresholds: a row goes right where its value is larger. trees: of each node. left: bits of the leaves that stay when a
    row goes right.
    """

    starts: NDArray[np.int64]
    thresholds: Floats
    trees: NDArray[np.int32]
    left: NDArray[np.uint64]


class Paths(NamedTuple):
    """The ways to the leaves: that to leaf l of tree t has the steps starts[t * MAX_LEAVES + l] and on, up to the next way's.

    features: of each step. moves: by how much it moves the score.
    """

    starts: NDArray[np.int64]
    features: NDArray[np.int32]
    moves: NDArray[np.float64]

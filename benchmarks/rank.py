"""Scoring by the ranker's trees against LightGBM itself: `python -m benchmarks.rank`.

The peer is bare `Booster.predict` on a ready matrix, one thread. Ours is what a night does: putting the matrix together
from the candidates' columns and scoring it. Both must give the same scores to 1e-6; that they are equal to the bit is tested.
"""

from __future__ import annotations

import argparse
import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import lightgbm
import numpy as np

from benchmarks.measure import Claim, in_turns, machine
from hybridrec.ranking.forest import forest_of
from hybridrec.types import Floats

N_COLUMNS, USERS_RANKED, ROUNDS_OF_TREES = 100, 300, 300
BLOCK = 150_000  # rows: a block of 500 users
TAUGHT_ROWS = 120_000


def main() -> None:
    """Print seconds and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    columns = make_columns(rng, options.rows)
    trees = train(rng, columns)
    ready = np.stack(list(columns.values()), axis=1)
    forest = forest_of(trees, ROUNDS_OF_TREES)
    assert forest is not None

    def assembled() -> Floats:
        parts = [
            np.stack([values[start : start + BLOCK] for values in columns.values()], axis=1) for start in range(0, options.rows, BLOCK)
        ]
        return np.concatenate([forest.predict(part) for part in parts])

    seconds = in_turns(
        {
            "Booster.predict on a ready matrix": lambda: trees.predict(ready, num_threads=1),
            "ours on a ready matrix": lambda: forest.predict(ready),
            "ours with putting it together": assembled,
        }
    )
    difference = np.abs(assembled() - trees.predict(ready, num_threads=1)).max()
    print(machine("numpy", "numba", "lightgbm"))
    print(f"{options.rows:,} rows of {N_COLUMNS} columns, {ROUNDS_OF_TREES} trees of 15 leaves; largest difference {difference:.1e}")
    for name, value in seconds.items():
        print(f"{name:<36} {value:8.2f} s {options.rows / value / 1e3:10,.0f} thousand rows a second")
    if difference > 1e-6:
        raise SystemExit("the scores differ by more than 1e-6")
    print(Claim("rank_vs_booster", seconds["Booster.predict on a ready matrix"] / seconds["ours with putting it together"], 0.9).text())


def make_columns(rng: np.random.Generator, n_rows: int) -> dict[str, Floats]:
    """Return columns as a candidate set has them: scores of which some are missing, ranks of which most are."""
    missing = np.linspace(0, 0.9, N_COLUMNS)
    return {
        f"c{number}": np.where(rng.random(n_rows) < share, np.nan, rng.normal(size=n_rows)).astype(np.float32)
        for number, share in enumerate(missing)
    }


def train(rng: np.random.Generator, columns: dict[str, Floats]) -> lightgbm.Booster:
    """Return trees as the ranker has them."""
    n_rows = min(TAUGHT_ROWS, len(next(iter(columns.values())))) // USERS_RANKED * USERS_RANKED
    matrix = np.stack([values[:n_rows] for values in columns.values()], axis=1)
    quality = np.nan_to_num(matrix[:, ::3]) @ rng.normal(size=matrix[:, ::3].shape[1])
    labels = (quality + rng.normal(size=n_rows) > np.quantile(quality, 0.97)).astype(np.int32)
    options = {"objective": "lambdarank", "num_leaves": 15, "learning_rate": 0.06, "feature_fraction": 0.5, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(matrix, label=labels, group=[USERS_RANKED] * (n_rows // USERS_RANKED))
    return lightgbm.train(options, data, ROUNDS_OF_TREES)


if __name__ == "__main__":
    main()

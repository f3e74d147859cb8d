"""A fit beside a busy neighbour: `python -m benchmarks.threads`.

LightGBM's LambdaRank on two threads, alone and while another process keeps one of the cores busy. OpenMP's threads wait for
each other at the end of every loop; if they do so by spinning, as is the default, the one that has to share its core holds
up the other for good. Every process of ours lets them sleep (`OMP_WAIT_POLICY=PASSIVE`, set in `jobs`), gives BLAS one thread, and
Spark's Python workers one each, so a machine never has more compute threads than `HYBRIDREC_THREADS` a process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measure import in_turns, machine

N_ROWS, N_LIST, N_COLUMNS, ROUNDS = 40_000, 20, 40, 40
FIT = f"""
import lightgbm, numpy as np
rng = np.random.default_rng(0)
matrix = rng.normal(size=({N_ROWS}, {N_COLUMNS})).astype(np.float32)
labels = (matrix[:, 0] + rng.normal(size={N_ROWS}) > 2).astype(np.int32)
data = lightgbm.Dataset(matrix, label=labels, group=[{N_LIST}] * {N_ROWS // N_LIST})
lightgbm.train({{"objective": "lambdarank", "num_threads": 2, "verbose": -1}}, data, {ROUNDS})
"""


def main() -> None:
    """Print seconds of both ways to wait, alone and beside a neighbour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    steps = {
        f"{policy.lower():<8} {where}": (lambda policy=policy, busy=busy: fit(policy, busy))
        for where, busy in (("alone", False), ("beside a busy process", True))
        for policy in ("PASSIVE", "ACTIVE")
    }
    seconds = in_turns(steps, options.rounds)
    print(machine("lightgbm", "numpy"))
    print("the fit with its process, whose start and imports take about two seconds")
    for name, value in seconds.items():
        print(f"{name:<32} {value:8.2f} s")


def fit(policy: str, busy: bool) -> None:
    """Teach the trees in a process whose OpenMP waits in that way."""
    environment = os.environ | {"OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}
    with neighbour(busy):
        subprocess.run([sys.executable, "-c", FIT], env=environment, check=True)


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Run a process that only computes while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()

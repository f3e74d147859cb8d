"""After an installation a night finds every loop compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

NIGHT = """
from numba.core.registry import CPUDispatcher
import jobs
from hybridrec.installation import precompile
from hybridrec.metrics import metric_kernels
from hybridrec.ranking import forest_kernel
from hybridrec.retrieval.kernels import dense, nearest, sums
from jobs import evaluate, train_model, train_ranker
from tests.support import made_candidates, small_world

def known():
    loops = [loop for module in (dense, nearest, sums, forest_kernel, metric_kernels) for loop in vars(module).values()]
    return {(loop.__name__, types) for loop in loops if isinstance(loop, CPUDispatcher) for types in loop.signatures}

precompile.compile_loops()
before = known()
run = small_world.make_run()
for model in ("als", "item_knn"):
    train_model.main(train_model.Params(run.run_id, model, "full"))
made_candidates.add_candidates(run)
train_ranker.main(train_ranker.Params(run.run_id))
evaluate.main(evaluate.Params(run.run_id))
print(sorted(known() - before))
"""


def test_a_night_compiles_nothing(home: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", NIGHT], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr[-2000:]

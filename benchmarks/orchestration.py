"""Measure the scheduler's share of a night: `python -m benchmarks.orchestration`.

Airflow is started in a home of its own and runs ingest and a night on MovieLens 100K, as `make run` does. The table says
for every task how its time divides into start-up of its process, waiting for Spark, compute, and Airflow's own time; below it
is the time without any running task. A task's fixed cost is Airflow's part, the interpreter's and the imports'. It is kept
low: tasks run in the scheduler's own worker processes, which stay; a DAG file imports neither pyspark nor torch; a job
imports a library where it uses it; one Spark server serves all jobs of a night, and a job that needs no Spark starts none.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys

from benchmarks.night import ROOT, airflow_costs, ask_airflow, describe_machine, gaps, table
from hybridrec.base.settings import Settings


def main() -> None:
    """Run a night under Airflow and print what each of its tasks cost."""
    home = Settings.from_env().home / "bench" / "orchestration"
    shutil.rmtree(home, ignore_errors=True)
    os.environ["HYBRIDREC_HOME"] = str(home)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "plugins")}
    command = [sys.executable, "-m", "hybridrec_local.services", "run", "--source", "movielens_100k"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the night failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    states, costs = airflow_costs("nightly_retrain", newest_run("nightly_retrain"))
    print("\n".join(describe_machine()))
    print("\n".join(table(costs)))
    print("\n".join(gaps(states)))
    added, startup = (statistics.median(values) for values in ([c.airflow or 0 for c in costs], [c.startup or 0 for c in costs]))
    print(f"a task's fixed cost, median of {len(costs)}: {added:.2f} s of Airflow's and {startup:.2f} s for the interpreter and imports")


def newest_run(dag_id: str) -> str:
    """Return the id of the DAG's newest run."""
    runs = ask_airflow("dags", "list-runs", dag_id)
    return max(runs, key=lambda run: run["start_date"])["run_id"]


if __name__ == "__main__":
    main()

"""Jobs: `python -m jobs.<name> --flag value`, each one file with a frozen Params and a main.

Thread counts are set here, before numpy, torch or LightGBM is imported by any job: two libraries that each
start a thread a core and spin while waiting slow each other down sevenfold on two cores.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("HYBRIDREC_THREADS", "2"))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

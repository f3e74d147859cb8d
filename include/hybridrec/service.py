"""Start the look-up service by its published command, `python -m hybridrec.service`; see hybridrec.serving.service."""

from hybridrec.execution import job
from hybridrec.serving.service import Params, main

if __name__ == "__main__":
    job.start(main, Params)

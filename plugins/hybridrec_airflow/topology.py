"""Keep the old name of a published command, `python -m hybridrec_airflow.topology`; see hybridrec_local.topology."""

import sys

from hybridrec_local.topology import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Print the claims about the closed loop: `make bench-loop`, or `python -m benchmarks.loop experiments` for one module.

Each module beside this file has `claims()`. A claim whose data or whose peer is not there is left out with a line that says so:
HYBRIDREC_BENCH names the folder of the data sets for checks, and `make bench-loop` installs the peers.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_"))


def main() -> None:
    """Print a line for each claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=NAMES, help=f"some of {', '.join(NAMES)}")
    for name in parser.parse_args().modules:
        for claim in importlib.import_module(f"benchmarks.loop.{name}").claims():
            print(claim.value_text(), flush=True)


if __name__ == "__main__":
    main()

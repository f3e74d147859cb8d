"""Child of test_postgres: stage version v2, and die by SIGKILL before the n-th batch.

usage: python -m tests.support.publish_to_postgres_and_die <address> <n>
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterable, Iterator

import pyarrow as pa

from hybridrec.targets.postgres import PostgresTarget
from tests.support.published_rows import publication, tables

address, deadly = sys.argv[1], int(sys.argv[2])
number = itertools.count(1)


def deadly_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if next(number) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch


target = PostgresTarget(address, "hybridrec_reader")
target.stage(publication("v2"), {name: deadly_batches(batches) for name, batches in tables("two").items()})

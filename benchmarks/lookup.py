"""The look-up service on one core: `python -m benchmarks.lookup`, or with `--users 5_000 --seconds 1` in a moment.

Publishes lists of 200,000 users and starts the service as one process on the first core; requests come from the second over
a dozen kept connections, for random users of whom some are unknown. Measured are the most requests a second, with the next
request sent as soon as the last is answered; the 99th percentile of the time to an answer at 1,000 requests a second, each
counted from the moment at which it was due; and the time of the query alone. `lookup_rps` is the smallest of three
ratios, so all must hold: requests a second to 1,000, 10 ms to that percentile, 1 ms to the query.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import uvloop

from benchmarks.measure import Claim, machine, seconds_of
from benchmarks.publish import N_ITEMS, NOW, VALID, K, lists_of
from hybridrec.publishing.publish import BATCH_ROWS
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import PUBLISHED, Publication, definition

CONNECTIONS, UNKNOWN_SHARE, OFFERED, MAX_MS = 12, 0.05, 1_000, 10.0
QUERIES, MAX_QUERY_MS, ROUNDS = 2_000, 1.0, 5


class Answers(NamedTuple):
    """Seconds from when each request was due to its answer, and seconds in all."""

    waits: list[float]
    seconds: float

    def percentile_ms(self, share: float) -> float:
        """Return milliseconds within which so many per cent were answered."""
        return float(np.percentile(self.waits, share)) * 1000


def main() -> None:
    """Print rates, times and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each of five rounds")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as home:
        publish(Path(home) / "published" / "recommendations.db", rng, options.users)
        query_ms = query_time(Path(home) / "published" / "recommendations.db", rng, options.users)
        with served(Path(home), cores[0]) as port:
            os.sched_setaffinity(0, {cores[-1]})
            requests = [request(user) for user in some_users(rng, options.users, 20_000)]
            uvloop.run(ask(port, requests, math.inf, 0.5))  # to warm up
            flat_out, at_rate = [], []
            for _ in range(ROUNDS):
                flat_out.append(uvloop.run(ask(port, requests, math.inf, options.seconds)))
                at_rate.append(uvloop.run(ask(port, requests, OFFERED, options.seconds)))
            os.sched_setaffinity(0, cores)
    rate = statistics.median(len(answers.waits) / answers.seconds for answers in flat_out)
    p50, p99 = (statistics.median(answers.percentile_ms(share) for answers in at_rate) for share in (50, 99))
    print(machine("fastapi", "uvicorn", "uvloop", "httptools"))
    print(f"{options.users:,} users, {K} places each; {UNKNOWN_SHARE:.0%} of the requests for unknown users; {CONNECTIONS} connections")
    print(f"most requests a second        {rate:8,.0f}")
    print(f"at {OFFERED:,} a second: half within {p50:8.2f} ms, 99 % within {p99:.2f} ms")
    print(f"the query alone, median       {query_ms:8.3f} ms")
    print(Claim("lookup_rps", min(rate / OFFERED, MAX_MS / p99, MAX_QUERY_MS / query_ms), 1.0).text())


def publish(path: Path, rng: np.random.Generator, n_users: int) -> None:
    """Publish a live version with that many lists and the titles of all items."""

    def lists() -> Iterator[pa.RecordBatch]:
        for block in np.array_split(np.arange(n_users), -(-n_users // BATCH_ROWS)):
            yield from lists_of(rng, block).to_batches()

    ids = sorted(str(number) for number in range(N_ITEMS))
    rows = {
        "items": [{"item_id": item, "title": f"The Book of {item} Nights", "categories": ["Drama"], "is_available": True} for item in ids],
        "popular_items": [{"window": "recent", "rank": n + 1, "item_id": ids[n], "score": 1 / (n + 1)} for n in range(200)],
        "similar_items": [],
    }
    tables = {name: lists() if name == "recommendations" else few(rows.get(name, []), name) for name in PUBLISHED}
    target = SqliteTarget(path)
    target.stage(Publication("v1", "r", "made", NOW, "1", NOW, NOW + VALID, {}, "", "staged", ""), tables)
    target.check("v1")
    target.switch_to("v1", 1)


def few(rows: list[dict[str, object]], name: str) -> list[pa.RecordBatch]:
    """Return rows as one batch."""
    return [pa.RecordBatch.from_pylist(rows, definition(name).arrow_schema())]


def some_users(rng: np.random.Generator, n_users: int, n_wanted: int) -> list[str]:
    """Return random users; some of them are unknown."""
    return [f"u{user:09d}" for user in rng.integers(0, int(n_users / (1 - UNKNOWN_SHARE)), n_wanted)]


def query_time(path: Path, rng: np.random.Generator, n_users: int) -> float:
    """Return median milliseconds of a look-up in this process."""
    target = SqliteTarget(path)
    waits = [seconds_of(lambda user=user: target.read_user(user)) for user in some_users(rng, n_users, QUERIES)]  # type: ignore[misc]
    target.close()
    return statistics.median(waits) * 1000


@contextmanager
def served(home: Path, core: int, *options: str) -> Iterator[int]:
    """Run the service in a process on that core, with further options of its command line; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "hybridrec.service", "--port", str(port), *options]
    with (home / "access.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | {"HYBRIDREC_HOME": str(home)}, stdout=log)
    try:
        os.sched_setaffinity(process.pid, {core})
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def request(user: str) -> bytes:
    """Return a request as it goes over the wire."""
    return f"GET /recommendations/{user}?k={K} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def ask(port: int, requests: list[bytes], rate: float, seconds: float) -> Answers:
    """Send so many requests a second, in turn over whichever connection is free; a wait counts from when a request was due."""
    waits: list[float] = []
    numbers = iter(range(sys.maxsize))
    started = time.perf_counter()

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            number = next(numbers)
            due, now = started + number / rate, time.perf_counter()
            if max(due, now) > started + seconds:
                break
            if due > now:
                await asyncio.sleep(due - now)
            writer.write(requests[number % len(requests)])
            await read_answer(reader)
            waits.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    return Answers(waits, time.perf_counter() - started)


async def read_answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end; SystemExit unless it is 200."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the service answered {head[:200]!r}")
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    await reader.readexactly(int(length))


if __name__ == "__main__":
    main()

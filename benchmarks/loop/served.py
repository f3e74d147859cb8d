"""Measure the cost of the look-up's log: the 99th percentile with log and events on, beside the one without.

Two services serve the same published file, each pinned to the first core, and are asked in turns at 1,000 look-ups a second; the one with
a log takes a hundred requests of ten events a second besides. `log_p99` is the percentile without over the one with: a log that costs a
tenth gives 1 / 1.1.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.lookup import OFFERED, Answers, ask, publish, request, served, some_users
from benchmarks.measure import Claim

BAR = 1 / 1.1
USERS, SECONDS, ROUNDS = 200_000, 5.0, 7
POSTS, EVENTS = 100, 10  # requests a second, events in each


def claims(users: int = USERS, seconds: float = SECONDS) -> list[Claim]:
    """Return the claim."""
    rng, cores = np.random.default_rng(0), sorted(os.sched_getaffinity(0))
    off, on = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as home:
        publish(Path(home) / "published" / "recommendations.db", rng, users)
        requests = [request(user) for user in some_users(rng, users, 20_000)]
        with served(Path(home), cores[0], "--no-log") as plain, served(Path(home), cores[0]) as logging:
            os.sched_setaffinity(0, {cores[-1]})
            try:
                for number in range(ROUNDS + 1):
                    without = uvloop.run(ask(plain, requests, OFFERED, seconds)).percentile_ms(99)
                    with_log = uvloop.run(ask_and_tell(logging, requests, seconds)).percentile_ms(99)
                    if number:  # the first round warms up
                        off.append(without)
                        on.append(with_log)
            finally:
                os.sched_setaffinity(0, cores)
        lines = sum(path.read_bytes().count(b"\n") for path in Path(home).glob("served/*/served-*.jsonl"))
    print(f"99 % within {statistics.median(off):.2f} ms without a log, {statistics.median(on):.2f} ms with one; {lines:,} lists in it")
    return [Claim("log_p99", statistics.median(before / after for before, after in zip(off, on, strict=True)), BAR)]


async def ask_and_tell(port: int, requests: list[bytes], seconds: float) -> Answers:
    """Look up at the offered rate, and meanwhile post events; returns the waits of the look-ups."""
    answers, _ = await asyncio.gather(ask(port, requests, OFFERED, seconds), tell(port, seconds))
    return answers


async def tell(port: int, seconds: float) -> None:
    """Post events at a fixed rate; SystemExit unless they are taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = time.perf_counter()
    for number in range(int(seconds * POSTS)):
        await asyncio.sleep(max(0.0, started + number / POSTS - time.perf_counter()))
        writer.write(post())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"the service answered {head[:200]!r}")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()


def post() -> bytes:
    """Return a request with events as it goes over the wire."""
    event = {"recommendation_id": uuid.uuid4().hex, "event_type": "impression", "item_id": "17", "event_at": "2026-04-11T09:30:12Z"}
    events = [event | {"event_id": uuid.uuid4().hex, "position": number + 1, "user_id": "u000000001"} for number in range(EVENTS)]
    body = json.dumps({"events": events}).encode()
    head = f"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body

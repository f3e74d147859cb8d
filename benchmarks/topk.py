"""Exact top-k of dot products against its peers: `python -m benchmarks.topk`.

For three shapes of catalogue: the 200 best items of every user without the user's seen ones, two threads each. Peers:
FAISS' flat index, asked for 200 plus the largest number of seen items and filtered afterwards; implicit's topk with its
filter; and the tiled matrix product alone, which nothing that looks at every score can undercut. Lists are compared with
brute force, and the memory beyond inputs and lists is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import os

THREADS = 2
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}

from collections.abc import Callable  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from multiprocessing import get_context  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import faiss  # noqa: E402
import implicit.cpu.topk  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.sparse import csr_array, csr_matrix  # noqa: E402

from benchmarks.measure import Claim, in_turns, machine  # noqa: E402
from hybridrec.retrieval import exact  # noqa: E402
from hybridrec.types import Floats, Neighbours  # noqa: E402

SHAPES = ((8_192, 50_000, 64), (4_096, 200_000, 128), (16_384, 5_000, 64))
K, CHECKED_USERS = 200, 256
MAX_EXTRA_MIB = 256
MIB = 2**20


class World(NamedTuple):
    """Vectors as ALS leaves them, of falling length, and seen items by a power law with a preference for long vectors."""

    users: Floats
    items: Floats
    seen: csr_array


def main() -> None:
    """Print a table and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a sixteenth of the users and a quarter of the items, to see that it works")
    options = parser.parse_args()
    print(machine("numpy", "numba", "faiss-cpu", "implicit"))
    print(f"{'users x items x factors':<26} {'ours':>8} {'FAISS':>8} {'implicit':>9} {'product':>8}   seconds; extra memory")
    ratios: dict[str, list[float]] = {"faiss": [], "implicit": [], "sgemm": []}
    for n_users, n_items, n_factors in SHAPES:
        shape = (n_users // 16, n_items // 4, n_factors) if options.small else (n_users, n_items, n_factors)
        world = make_world(*shape)
        require_exact(world)
        extra = extra_mib(shape)
        seconds = in_turns(steps_of(world))
        print(
            f"{' x '.join(f'{size:,}' for size in shape):<26} " + " ".join(f"{value:8.2f}" for value in seconds.values()),
            f"   {extra:.0f} MiB",
        )
        if extra > MAX_EXTRA_MIB:
            raise SystemExit(f"{extra:.0f} MiB beyond inputs and lists, at most {MAX_EXTRA_MIB} are allowed")
        for peer, of_peer in ratios.items():
            of_peer.append(seconds[peer] / seconds["ours"])
    for peer, bar in (("faiss", 1.0), ("implicit", 1.5), ("sgemm", 0.8)):
        print(f"{peer}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios[peer]))
        print(Claim(f"topk_vs_{peer}", min(ratios[peer]), bar).text())


def make_world(n_users: int, n_items: int, n_factors: int) -> World:
    """Return a seeded world."""
    rng = np.random.default_rng(n_items)
    lengths = (rng.pareto(2.0, n_items) + 0.3).astype(np.float32)
    users = rng.normal(size=(n_users, n_factors)).astype(np.float32)
    items = rng.normal(size=(n_items, n_factors)).astype(np.float32) * lengths[:, None]
    n_seen = np.minimum(rng.zipf(1.6, n_users) + 10, 1_000)
    by_length = np.argsort(-lengths)
    drawn = (rng.random(n_seen.sum()) ** 2 * n_items).astype(np.int64)
    seen = csr_array((np.ones(len(drawn), np.float32), (np.repeat(np.arange(n_users), n_seen), by_length[drawn])), shape=(n_users, n_items))
    seen.sum_duplicates()
    return World(users, items, seen)


def steps_of(world: World) -> dict[str, Callable[[], object]]:
    """Return the timed steps by name."""
    index = faiss.IndexFlatIP(world.items.shape[1])
    index.add(world.items)
    faiss.omp_set_num_threads(THREADS)
    filter_query_items = csr_matrix(world.seen)
    return {
        "ours": lambda: ours(world),
        "faiss": lambda: with_faiss(index, world),
        "implicit": lambda: implicit.cpu.topk.topk(world.items, world.users, K, filter_query_items=filter_query_items, num_threads=THREADS),
        "sgemm": lambda: product_alone(world),
    }


def ours(world: World) -> Neighbours:
    """Return the product's own."""
    return exact.top_k_dot(world.users, world.items, world.seen, K, threads=THREADS)


def with_faiss(index: faiss.IndexFlatIP, world: World) -> NDArray[np.int64]:
    """Search by FAISS, which has no filter per query: ask for more, drop seen items and keep the first K."""
    _, found = index.search(world.users, K + int(np.diff(world.seen.indptr).max()))
    rows = np.repeat(np.arange(len(found)), np.diff(world.seen.indptr))
    seen = np.sort(rows * len(world.items) + world.seen.indices)
    cells = np.arange(len(found))[:, None] * len(world.items) + found
    kept = seen[np.minimum(np.searchsorted(seen, cells), len(seen) - 1)] != cells
    position = np.cumsum(kept, axis=1)
    return found[kept & (position <= K)].reshape(len(found), K)


def product_alone(world: World) -> None:
    """Compute all scores, tile by tile, and discard them."""

    def of_block(start: int) -> None:
        users = world.users[start : start + exact.USERS_AT_ONCE]
        tile = np.empty((len(users), exact.ITEMS_AT_ONCE), np.float32)
        for first in range(0, len(world.items), exact.ITEMS_AT_ONCE):
            items = world.items[first : first + exact.ITEMS_AT_ONCE]
            np.matmul(users, items.T, out=tile[:, : len(items)])

    with ThreadPoolExecutor(THREADS) as workers:
        list(workers.map(of_block, range(0, len(world.users), exact.USERS_AT_ONCE)))


def require_exact(world: World) -> None:
    """Stop where a list is not that of brute force: every pair scored by itself, every row sorted, ties by item."""
    n_users, n_items = min(CHECKED_USERS, len(world.users)), len(world.items)
    found = exact.top_k_dot(world.users[:n_users], world.items, world.seen[:n_users], K, threads=THREADS)
    for user in range(n_users):
        scores = exact.score_dot(world.users[user : user + 1], world.items, np.zeros(n_items, np.int64), np.arange(n_items))
        scores[world.seen[[user]].indices] = -np.inf
        best = np.argsort(-scores, kind="stable")[:K]
        if not (np.array_equal(found.items[user], best) and np.array_equal(found.scores[user], scores[best])):
            raise SystemExit(f"user {user} of {world.users.shape} x {world.items.shape}: the list is not that of brute force")


def extra_mib(shape: tuple[int, int, int]) -> float:
    """Return peak memory of a search beyond its inputs and lists, MiB, in a process that does nothing else."""
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_extra_mib, (shape,)))


def _extra_mib(shape: tuple[int, int, int]) -> float:
    world = make_world(*shape)
    few = World(world.users[:8], world.items, world.seen[:8])
    ours(few)  # what is compiled and allocated once
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = _status_kib("VmRSS")
    lists = ours(world)
    return (_status_kib("VmHWM") - before) / 1024 - (lists.items.nbytes + lists.scores.nbytes) / MIB


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()

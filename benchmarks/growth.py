"""Measure the growth of a night with the data: `python -m benchmarks.growth`, or `--size 20k --size 50k` in two minutes.

The synthetic shop is ingested and a whole night runs over it, job by job, at one, three and ten million events; users
grow with the events, items with their root. Six models of different kinds take part. The claim is that seconds grow no
faster than events to the power of 1.1. No night may use more than 16 GiB with all its processes, the one with a million items 20.

The times of each stage are kept in docs/growth.json, from which `python -m benchmarks.cost_model` makes docs/scale.md;
sizes that are not run again stay there. `--size 100m` runs a night of a hundred million events with two models, `--size 200k_items`
and `--size 1m_items` nights over large catalogues, in which no process may use more than 8 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Claim
from benchmarks.night import World, WorldCost, describe_machine, run_world
from hybridrec.base.settings import Settings

RECORD = Path(__file__).parent.parent / "docs" / "growth.json"
MODELS = ("popularity", "recent_popularity", "item_knn", "als", "content_attributes", "two_tower")
WIDE_MODELS = ("popularity", "als", "item_knn", "sequence_knn", "content_text", "two_tower")
PROCESS_LIMIT_MIB = 8 * 1024
EXPONENT = 1.1
LEAST_KEPT = 1_000_000


class Size(NamedTuple):
    """A world's size; a pool_size of 0 leaves it to the product. limit_mib: of all processes together."""

    n_events: int
    n_users: int
    n_items: int
    models: tuple[str, ...] = MODELS
    pool_size: int = 0
    limit_mib: int = 16 * 1024

    @property
    def options(self) -> str:
        """The configuration of its home."""
        pool = f"pool_size = {self.pool_size}\n" if self.pool_size else ""
        # the shop's best seller suits nearly everybody, and a few hundred of a million items all of them
        night = f"[night]\nmax_item_share = 1.0\nmin_coverage = 0.0\n{pool}"
        return f"{night}[sources.synthetic]\nn_events = {self.n_events}\nn_users = {self.n_users}\nn_items = {self.n_items}\n"


SIZES = {
    "20k": Size(20_000, 500, 500, MODELS[:2]),
    "50k": Size(50_000, 1_000, 800, MODELS[:2]),
    "1m": Size(1_000_000, 16_000, 5_000),
    "3m": Size(3_000_000, 48_000, 9_000),
    "10m": Size(10_000_000, 160_000, 16_000),
    "200k_items": Size(1_000_000, 60_000, 200_000, WIDE_MODELS),
    "1m_items": Size(5_000_000, 300_000, 1_000_000, WIDE_MODELS, limit_mib=20 * 1024),
    "100m": Size(100_000_000, 1_600_000, 50_000, ("popularity", "als"), 100),
}


def main() -> None:
    """Run the nights, keep what they cost, print the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", choices=sorted(SIZES), help="may be repeated; 1m, 3m and 10m unless named")
    options = parser.parse_args()
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    os.environ.setdefault("HYBRIDREC_SPARK_MEMORY", "6g")
    print("\n".join(describe_machine()), flush=True)
    names = options.size or ["1m", "3m", "10m"]
    home = Settings.from_env().home / "bench"
    with redirect_stdout(sys.stderr):  # task by task it is for who watches; the page has the stages
        found = {name: run_and_keep(name, home / name) for name in names}
    first, last = SIZES[names[0]], SIZES[names[-1]]
    for name, cost in found.items():
        size = SIZES[name]
        print(f"{name:>10} {size.n_events:>12,} events {size.n_items:>10,} items {cost.seconds:8.0f} s,", end=" ")
        print(f"at most {cost.peak_mib:,.0f} MiB, one process {cost.largest_mib:,.0f} MiB")
    over = [name for name, cost in found.items() if cost.peak_mib > SIZES[name].limit_mib or cost.largest_mib > PROCESS_LIMIT_MIB]
    if over:
        raise SystemExit(f"too much memory, together or (more than {PROCESS_LIMIT_MIB:,} MiB) in one process: {', '.join(over)}")
    if len(names) > 1:
        allowed = (last.n_events / first.n_events) ** EXPONENT
        print(Claim("night_growth", allowed * found[names[0]].seconds / found[names[-1]].seconds, 1.0).text())


def run_and_keep(name: str, home: Path) -> WorldCost:
    """Run a night of that size; its cost is stored in docs/growth.json, except for a trial size."""
    cost = run_world(name, World("synthetic", SIZES[name].limit_mib, SIZES[name].options, SIZES[name].models), home)
    if SIZES[name].n_events >= LEAST_KEPT:
        keep(name, cost)
    return cost


def keep(name: str, cost: WorldCost) -> None:
    """Bring docs/growth.json up to date: seconds and peak memory by stage, a job's tasks added up."""
    record = json.loads(RECORD.read_text())
    seconds: dict[str, float] = defaultdict(float)
    peaks: dict[str, float] = defaultdict(float)
    for task in cost.tasks:
        stage = stage_of(task.name)
        seconds[stage] = round(seconds[stage] + task.wall, 1)
        peaks[stage] = round(max(peaks[stage], task.peak_mib or 0.0))
    memory = {"peak_mib": peaks, "peak_together_mib": round(cost.peak_mib), "largest_process_mib": round(cost.largest_mib)}
    record[name] = SIZES[name]._asdict() | {"seconds": seconds} | memory
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def stage_of(task: str) -> str:
    """Return train_model.als for train_model.als.rank, core_events.clean_table as it is."""
    parts = [part for part in task.split(".") if part not in ("ranker", "holdout", "full")]
    return ".".join(parts)


if __name__ == "__main__":
    main()

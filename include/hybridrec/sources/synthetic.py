"""A synthetic shop: as large as wished, the same for the same seed, and with a taste to be learned.

Users and items are drawn by power laws. A session is one user looking at lists from one category, chosen by a taste
that drifts from the user's first mix of categories to the last; within a category an item is clicked the more, the
nearer its hidden vector lies to the user's. Clicks lead to views, carts, purchases, ratings. Items come out on every
day, users join on every day, some never do anything. Titles and descriptions speak of category, brand and style.
Events are written in parts of a day, by Spark's workers if there are many, so memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.sources import options

if TYPE_CHECKING:
    import pyarrow as pa

from hybridrec.simulation.visits import Part, make_part
from hybridrec.simulation.world import CATEGORIES, Config, describe_items, describe_users, make_world

DOC = "Synthetic shop: seeded users, items, sessions, drift, stock and promotions; any size"
PART_EVENTS = 1_000_000  # of a day; some 0.7 GB while they are made
SPARK_FROM_EVENTS = 5_000_000  # below, one process is done before a Spark session has started
SPARK_TASKS = 16  # each makes the world for itself, which takes seconds where users are millions


def land(settings: Settings, folder: Path, seed: int) -> None:
    """Write the world: files of events for each day, one of items, one of users."""
    config = options(settings, "synthetic", Config())
    _require_sensible(config)
    world = make_world(config, seed)
    rng = deepcopy(world.rng)  # the world is kept and stays as it is
    _write(folder / "items" / "items.parquet", describe_items(config, world.items, rng))
    _write(folder / "users" / "users.parquet", describe_users(config, world.users, rng))
    parts = parts_of(config)
    (folder / "events").mkdir()
    if config.n_events >= SPARK_FROM_EVENTS:
        _write_by_spark(config, seed, parts, folder)
    else:
        write_parts(config, seed, parts, folder)


def parts_of(config: Config) -> list[Part]:
    """Return all days in order, each cut into parts of at most PART_EVENTS events."""
    each_day = max(1, -(-config.n_events // (config.n_days * PART_EVENTS)))
    return [Part(day, number, each_day) for day in range(config.n_days) for number in range(each_day)]


def write_parts(config: Config, seed: int, parts: Iterable[Part], folder: Path) -> None:
    """Write some parts below folder/events, each with its own seed; a file is there whole or not at all."""
    world, first = make_world(config, seed), date.fromisoformat(config.first_day)
    for part in parts:
        of_day = np.random.SeedSequence([seed, part.day, part.number])
        events = make_part(config, world, part, np.random.default_rng(of_day))
        stem = f"{first + timedelta(days=part.day)}" + (f"-{part.number:03d}" if part.parts_of_day > 1 else "")
        _write(folder / "events" / f"{stem}.parquet", events)


def _write_by_spark(config: Config, seed: int, parts: list[Part], folder: Path) -> None:
    """Write by Spark's workers; only the parts' numbers come back."""
    from hybridrec.execution.spark import session
    from hybridrec.execution.task_records import spark_time

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            write_parts(config, seed, [parts[index] for index in batch["id"].to_pylist()], folder)
            yield batch

    numbers = session().range(0, len(parts), 1, min(len(parts), SPARK_TASKS))
    with spark_time():
        written = numbers.mapInArrow(of_partition, "id bigint").count()
    if written != len(parts):
        raise RuntimeError(f"{written} of {len(parts)} parts of the synthetic world were written")


def _require_sensible(config: Config) -> None:
    least = {"n_users": 10, "n_items": len(CATEGORIES), "n_events": 100, "n_days": 2, "list_length": 1, "n_dimensions": 1}
    for name, lowest in least.items():
        if getattr(config, name) < lowest:
            raise PermanentError(f"[sources.synthetic] {name} = {getattr(config, name)}; expected at least {lowest}")
    try:
        date.fromisoformat(config.first_day)
    except ValueError:
        raise PermanentError(f"[sources.synthetic] first_day = {config.first_day!r}; expected a date as 2024-01-31") from None


def _write(path: Path, rows: pa.Table) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows, unfinished, compression="zstd")
    unfinished.replace(path)  # Spark may run a task twice at the same time

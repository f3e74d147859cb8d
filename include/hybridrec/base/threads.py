"""Do the parts of a task side by side in threads; for steps that release the GIL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_threads(step: Callable[[S], T], parts: Iterable[S], threads: int) -> list[T]:
    """Return the results of a step for each part, in their order; with one thread in the caller's own. `step` releases the GIL."""
    return list(as_they_end(step, parts, threads))


def as_they_end(step: Callable[[S], T], parts: Iterable[S], threads: int) -> Iterator[T]:
    """Yield results like in_threads, each as soon as it and all before it are there."""
    if threads == 1:
        yield from map(step, parts)
        return
    with ThreadPoolExecutor(threads) as workers:
        yield from workers.map(step, parts)

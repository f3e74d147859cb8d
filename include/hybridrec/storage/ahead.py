"""Two steps of a stream at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(values: Iterable[T]) -> Iterator[T]:
    """Yield the values in their order, each made in a second thread while the one before is in use.

    At most one waits, so memory stays bounded. An error while making a value is raised here in its turn. Useful if both sides release the
    GIL: Arrow, hashlib, sqlite3 and files do.
    """
    made, end = iter(values), object()
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(next, made, end)
        while (value := waiting.result()) is not end:
            waiting = worker.submit(next, made, end)
            yield value  # type: ignore[misc]  # not `end`, which is the only other one

"""Threads for reads that block, so that an event loop never waits for a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Asked = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class ReadThreads:
    """Threads that take the reads in the order in which they were asked for.

    They are daemons: one that is stuck in a database does not hold up the end of the process.
    """

    def __init__(self, number: int) -> None:
        self._asked: SimpleQueue[Asked | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"read-{n}", daemon=True) for n in range(number)]
        for thread in self._threads:
            thread.start()

    async def run(self, read: Callable[[], T], seconds: float) -> T:
        """Return the result of `read` or raise its error; TimeoutError if it takes longer, including the wait for a thread."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        alarm = loop.call_later(seconds, _give_up, answer, seconds)
        self._asked.put((loop, answer, read))
        try:
            return await answer
        finally:
            alarm.cancel()

    def close(self) -> None:
        """Let the threads end after what they are at."""
        for _ in self._threads:
            self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            loop, answer, read = asked
            if answer.done():  # given up meanwhile: what came up behind a lock need not be read any more
                continue
            value, error = None, None
            try:
                value = read()
            except Exception as caught:
                error = caught
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, answer, value, error)


def _settle(answer: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


def _give_up(answer: asyncio.Future[Any], seconds: float) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError(f"no answer within {seconds:g} s"))

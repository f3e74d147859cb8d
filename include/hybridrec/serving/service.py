"""Serve the published tables over HTTP: the reference look-up. `make serve`, or `python -m hybridrec.service --port 8100`.

Every list that it serves leaves a line in a log below the home folder, and it takes the events that follow at /events, for the next
ingest: see hybridrec.feedback. --no-log switches both off.

/openapi.json describes it. It opens the tables read-only and keeps no rows: each answer is of one version as a whole, and a switch
of the live version, or another file in the place of the published one, shows in the next answer. It has no login, so it listens on this
machine only; put a proxy with a login before it before you set another --host, and list its host names in --allowed-hosts. SIGTERM ends it
within six seconds, after the requests that it has accepted; the exit code is 0.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys
from asyncio import sleep, to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeVar

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import TypeAdapter

from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.execution import job
from hybridrec.feedback.append_log import AppendLog
from hybridrec.feedback.lines import EVENTS, SERVED
from hybridrec.serving import lookup, table_lookups
from hybridrec.serving.feedback_routes import LogLines, add_events, log_lines, log_served, served_line
from hybridrec.serving.http_edge import Edge
from hybridrec.serving.parameters import (
    Basket,
    Excluded,
    ExcludedUsers,
    Identifier,
    ListLength,
    SurfaceName,
    Window,
    basket_of,
    excluded,
)
from hybridrec.serving.problems import PROBLEMS, Problem, StrictRoute, add_handlers
from hybridrec.serving.read_threads import ReadThreads
from hybridrec.versions.publications import (
    Answer,
    BoughtTogether,
    BuyAgain,
    ItemAudience,
    ServedAnswer,
    SimilarItems,
    Target,
    Trending,
    said,
)

T = TypeVar("T")
Read = Callable[[Callable[[], T]], Awaitable[T]]

READ_SECONDS = 0.7  # then 503: more than a lock is waited for, less than a second
DRAIN_SECONDS = 0.5  # at the end: so long connections end with their next answer
END_SECONDS = 5  # and so long the last answers may take

DESCRIPTION = """
The live version of the published tables. Each path answers GET and HEAD; an unknown parameter is refused with 422, in a sentence
that names those there are. /events takes by POST what came of the lists. No answer may be kept in a cache: the recommendation_id of a
list stands for one user at one time. Each answer has an X-Request-Id: the caller's, or a new one. 503 comes with Retry-After.
"""


@dataclass(frozen=True)
class Health:
    """The version that is live."""

    run_id: str = said("The run that made it.", "scheduled__2026-04-11T02:00:00+00:00")
    version: str = said("Its name.", "scheduled_2026_04_11t02_0_1f2e3d4c")
    generated_at: str = said("When it was made, UTC, ISO 8601.", "2026-04-11T02:41:07+00:00")
    valid_until: str = said("After this the night is late.", "2026-04-13T02:41:07+00:00")
    stale: bool = said("Whether that has passed.", False)
    served_log: LogLines | None = said("The log of what was served; null if the service keeps none.", None)  # noqa: RUF009
    events_log: LogLines | None = said("The log of events that were taken; null if the service keeps none.", None)  # noqa: RUF009


@dataclass(frozen=True)
class Alive:
    """The process answers."""

    status: Literal["alive"] = "alive"


@dataclass(frozen=True)
class Params:
    """The command line."""

    port: int = 8100
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    log: bool = True


# Answers are made by our own code, so they are written as JSON by their types and not validated again.
ANSWER, SIMILAR, HEALTH = TypeAdapter(Answer), TypeAdapter(SimilarItems), TypeAdapter(Health)
BUY_AGAIN, TOGETHER, AUDIENCE, TRENDING = (TypeAdapter(kind) for kind in (BuyAgain, BoughtTogether, ItemAudience, Trending))


def create_app(
    target: Target, allowed_hosts: Iterable[str] = (), access_log: TextIO | None = None, feedback_log: AppendLog | None = None
) -> Edge:
    """Return the service over a target, which it closes at its end with its log, None for none. allowed_hosts, access_log: see Edge."""
    threads = ReadThreads(getattr(target, "parallel_reads", 1))

    async def read(query: Callable[[], T]) -> T:
        return await threads.run(query, READ_SECONDS)

    @asynccontextmanager
    async def closing_target(_: FastAPI) -> AsyncIterator[None]:
        if feedback_log:
            feedback_log.start()
        yield
        if feedback_log:
            await to_thread(feedback_log.close)
        with suppress(TimeoutError):  # a thread is stuck in the database; it goes with the process
            await read(target.close)
        threads.close()

    # the pages /docs and /redoc would load scripts from elsewhere
    app = FastAPI(
        title="hybridrec look-up",
        description=DESCRIPTION,
        lifespan=closing_target,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        generate_unique_id_function=lambda route: route.name,  # what a generated client calls its functions
    )
    app.router.route_class = StrictRoute
    add_handlers(app)
    _add_lists(app, target, read, feedback_log)
    add_events(app, feedback_log, PROBLEMS)
    _add_tables(app, target, read)
    _add_states(app, target, read, feedback_log)
    return Edge(app, allowed_hosts, access_log)


def _add_lists(app: FastAPI, target: Target, read: Read[tuple[bytes, bytes]], log: AppendLog | None) -> None:
    def as_body(answer: ServedAnswer, k: int) -> tuple[bytes, bytes]:
        whole = lookup.with_shortfall(answer, k)
        return ANSWER.dump_json(whole), served_line(whole, k) if log else b""

    no_surface: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "The live version has no such surface"}}

    @app.get("/recommendations/{user_id:path}", response_model=Answer, responses=PROBLEMS | no_surface)
    async def recommendations(
        request: Request,
        user_id: Identifier,
        k: ListLength = 20,
        exclude: Excluded = [],  # noqa: B006  never changed
        surface: SurfaceName = DEFAULT_SURFACE,
    ) -> Response:
        """Return a user's list on a surface, best first.

        For a user who is not known it is the popular items, and `reason` says unknown_user. If items are excluded the next ones of the
        list move up, and popular items fill the end: `reason` is then filled, or fallback if nothing else is left.
        """
        ids = excluded(exclude)
        try:
            body, line = await read(lambda: as_body(lookup.recommend(target, user_id, k, ids, surface), k))
        except lookup.NoSurface as error:
            raise HTTPException(404, str(error)) from None
        log_served(log, request, line)
        return _json(body)

    not_there: dict[int | str, dict[str, Any]] = {
        404: {"model": Problem, "description": "The item has no similar ones in the live version, or is not known"}
    }

    @app.get("/items/{item_id:path}/similar", response_model=SimilarItems, responses=PROBLEMS | not_there)
    async def similar(item_id: Identifier, k: ListLength = 20) -> Response:
        """Return an item's neighbours, most similar first."""

        def look_up() -> tuple[bytes, bytes]:
            answer = target.read_similar(item_id, k)
            return SIMILAR.dump_json(answer) if answer else b"", b""

        body, _ = await read(look_up)
        if body:
            return _json(body)
        raise HTTPException(404, f"item {item_id!r} has no similar items in the live version")

    @app.get("/popular", response_model=Answer)
    async def popular(request: Request, window: Window = "recent", k: ListLength = 20) -> Response:
        """Return the popular items, lately or of all time."""
        body, line = await read(lambda: as_body(lookup.popular(target, window, k), k))
        log_served(log, request, line)
        return _json(body)


def _add_tables(app: FastAPI, target: Target, read: Read[bytes]) -> None:
    """Add the tables besides the lists; 404 where the live version has nothing, as in a night that could not fill the table."""

    def missing(what: str) -> dict[int | str, dict[str, Any]]:
        return PROBLEMS | {404: {"model": Problem, "description": f"The live version has nothing for {what}"}}

    async def answered(adapter: TypeAdapter[T], look_up: Callable[[], T | None], sentence: str) -> Response:
        def as_body() -> bytes:
            answer = look_up()
            return b"" if answer is None else adapter.dump_json(answer)

        if body := await read(as_body):
            return _json(body)
        raise HTTPException(404, sentence)

    @app.get("/buy-again/{user_id:path}", response_model=BuyAgain, responses=missing("the user"))
    async def buy_again(user_id: Identifier, k: ListLength = 20, exclude: Excluded = []) -> Response:  # noqa: B006  never changed
        """Return what a user may buy again, the likeliest first."""
        ids = excluded(exclude)
        sentence = f"user {user_id!r} has nothing to buy again in the live version"
        return await answered(BUY_AGAIN, lambda: table_lookups.buy_again(target, user_id, k, ids), sentence)

    @app.get("/bought-together", response_model=BoughtTogether, responses=missing("any of the items"))
    async def bought_together(items: Basket, k: ListLength = 20, exclude: Excluded = []) -> Response:  # noqa: B006  never changed
        """Return what completes a basket of one or several items, best first; none of the basket's own items."""
        basket, ids = basket_of(items), excluded(exclude)
        sentence = (
            f"{', '.join(map(repr, basket[:3]))}{' and others' if len(basket) > 3 else ''}: bought with nothing else in the live version"
        )
        return await answered(TOGETHER, lambda: table_lookups.bought_together(target, basket, k, ids), sentence)

    @app.get("/items/{item_id:path}/audience", response_model=ItemAudience, responses=missing("the item"))
    async def audience(item_id: Identifier, k: ListLength = 20, exclude: ExcludedUsers = []) -> Response:  # noqa: B006  never changed
        """Return the users who should hear of an item, the likeliest buyer first; without recent buyers and users who opted out."""
        ids = excluded(exclude)
        sentence = f"item {item_id!r} has no audience in the live version"
        return await answered(AUDIENCE, lambda: table_lookups.audience(target, item_id, k, ids), sentence)

    @app.get("/trending", response_model=Trending, responses=missing("anybody"))
    async def trending(k: ListLength = 20, exclude: Excluded = []) -> Response:  # noqa: B006  never changed
        """Return the items on the rise, the steepest first."""
        ids = excluded(exclude)
        return await answered(TRENDING, lambda: table_lookups.trending(target, k, ids), "nothing is on the rise in the live version")


def _add_states(app: FastAPI, target: Target, read: Read[Health], log: AppendLog | None) -> None:
    @app.get("/live", response_model=Alive)
    async def live() -> Response:
        """Return whether the process answers; it asks no database. To be restarted when this fails."""
        return _json(b'{"status":"alive"}')

    @app.get("/ready", response_model=Health)
    async def ready() -> Response:
        """Return whether the tables can be read and are still valid; 503 if not, or if nothing has been published."""
        health = await read(lambda: _health(target, log))
        if health.stale:
            late = f"version {health.version} of run {health.run_id} was valid until {health.valid_until}; look at the DAG nightly_retrain"
            raise HTTPException(503, late, {"Retry-After": "60"})
        return _json(HEALTH.dump_json(health))

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Return the live version, also when it is stale, and the state of the log; 503 without a version."""
        return _json(HEALTH.dump_json(await read(lambda: _health(target, log))))


def _health(target: Target, log: AppendLog | None) -> Health:
    """Check by a look-up, so that it fails when look-ups do."""
    live = target.read_popular("recent", 1)
    stale = datetime.fromisoformat(live.valid_until) < datetime.now(UTC)
    logs = log_lines(log, SERVED), log_lines(log, EVENTS)
    return Health(live.run_id, live.version, live.generated_at, live.valid_until, stale, *logs)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


class Server(uvicorn.Server):
    """Takes no more connections at its end, and lets those that are open end with an answer."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within DRAIN_SECONDS and END_SECONDS."""
        for server in self.servers:
            server.close()
        self.config.app.ending = True  # type: ignore[union-attr]
        await sleep(DRAIN_SECONDS)
        await super().shutdown(sockets)


def main(params: Params) -> None:
    """Serve until the process is told to stop."""
    hosts = params.allowed_hosts + _own_name(params.host)
    settings = Settings.from_env()
    app = create_app(lookup.open_target(settings), hosts, sys.stdout, AppendLog(settings.served) if params.log else None)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # before the server listens to signals, and again after its end
    with closing(_listening(params.host, params.port)) as listening, suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listening])


def _own_name(host: str) -> tuple[str, ...]:
    """Return the Host header of a listening address; a wildcard has none. Warns if other machines can reach it."""
    log = logging.getLogger("hybridrec")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host != "localhost" and not (address and address.is_loopback):
        log.warning("%s can be reached from other machines and has no login: put a proxy with a login before it", host)
    if address and address.is_unspecified:
        return ()
    return (f"[{host}]" if address and address.version == 6 else host,)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


if __name__ == "__main__":
    job.start(main, Params)

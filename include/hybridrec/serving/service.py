"""Serve the published tables over HTTP: the reference look-up. `make serve`, or `python -m hybridrec.service --port 8100`.

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
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeVar

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from hybridrec.base.errors import NothingPublished, PermanentError
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.execution import job
from hybridrec.serving import lookup, table_lookups
from hybridrec.serving.http_edge import ERROR, Edge
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
    short,
)
from hybridrec.serving.read_threads import ReadThreads
from hybridrec.versions.publications import Answer, BoughtTogether, BuyAgain, ItemAudience, SimilarItems, Target, Trending, said

T = TypeVar("T")
Read = Callable[[Callable[[], T]], Awaitable[T]]

READ_SECONDS = 0.7  # then 503: more than a lock is waited for, less than a second
RETRY_SECONDS = {NothingPublished: "60", TimeoutError: "1"}  # Retry-After of 503
DRAIN_SECONDS = 0.5  # at the end: so long connections end with their next answer
END_SECONDS = 5  # and so long the last answers may take

DESCRIPTION = """
The live version of the published tables. Each path answers GET and HEAD; an unknown parameter is refused with 422, in a sentence
that names those there are. Each answer has an X-Request-Id: the caller's, or a new one. 503 comes with Retry-After.
"""


@dataclass(frozen=True)
class Health:
    """The version that is live."""

    run_id: str = said("The run that made it.", "scheduled__2026-04-11T02:00:00+00:00")
    version: str = said("Its name.", "scheduled_2026_04_11t02_0_1f2e3d4c")
    generated_at: str = said("When it was made, UTC, ISO 8601.", "2026-04-11T02:41:07+00:00")
    valid_until: str = said("After this the night is late.", "2026-04-13T02:41:07+00:00")
    stale: bool = said("Whether that has passed.", False)


@dataclass(frozen=True)
class Alive:
    """The process answers."""

    status: Literal["alive"] = "alive"


@dataclass(frozen=True)
class Problem:
    """The problem."""

    detail: str = said(
        "A sentence that says what is wrong and what would be right.", "k is '0': input should be greater than or equal to 1"
    )


@dataclass(frozen=True)
class Params:
    """The command line."""

    port: int = 8100
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()


# Answers are made by our own code, so they are written as JSON by their types and not validated again.
ANSWER, SIMILAR, HEALTH = TypeAdapter(Answer), TypeAdapter(SimilarItems), TypeAdapter(Health)
BUY_AGAIN, TOGETHER, AUDIENCE, TRENDING = (TypeAdapter(kind) for kind in (BuyAgain, BoughtTogether, ItemAudience, Trending))
PROBLEMS: dict[int | str, dict[str, Any]] = {
    421: {"model": Problem, "description": "The Host header names another machine"},
    422: {"model": Problem, "description": "The path or a parameter is out of bounds or unknown"},
    503: {"model": Problem, "description": "Nothing is published, or the tables cannot be read now; Retry-After says when to ask again"},
}


class StrictRoute(APIRoute):
    """A route that refuses a parameter that it does not have, and a single one given twice."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler after that check."""
        handle, lists = super().get_route_handler(), {"exclude", "items"}
        known = {parameter.alias for parameter in self.dependant.query_params}

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _require_known([name for name, _ in request.query_params.multi_items()], known, lists)
            return await handle(request)

        return strict


def _require_known(names: list[str], known: set[str], lists: set[str]) -> None:
    for name in names:
        if name not in known:
            raise HTTPException(422, f"there is no parameter {short(name)}; this path has {', '.join(sorted(known)) or 'none'}")
        if name not in lists and names.count(name) > 1:
            raise HTTPException(422, f"{name} is given {names.count(name)} times, expected once")


def create_app(target: Target, allowed_hosts: Iterable[str] = (), access_log: TextIO | None = None) -> Edge:
    """Return the service over a target, which it closes at its end. allowed_hosts, access_log: see Edge."""
    threads = ReadThreads(getattr(target, "parallel_reads", 1))

    async def read(query: Callable[[], T]) -> T:
        return await threads.run(query, READ_SECONDS)

    @asynccontextmanager
    async def closing_target(_: FastAPI) -> AsyncIterator[None]:
        yield
        with suppress(TimeoutError):  # a thread is stuck in the database; it goes with the process
            await read(target.close)
        threads.close()

    # the pages /docs and /redoc would load scripts from elsewhere
    app = FastAPI(
        title="hybridrec look-up", description=DESCRIPTION, lifespan=closing_target, docs_url=None, redoc_url=None, responses=PROBLEMS
    )
    app.router.route_class = StrictRoute
    for kind, handle in ((PermanentError, _unavailable), (OSError, _unavailable), (RequestValidationError, _refused), (Exception, _broken)):
        app.add_exception_handler(kind, handle)
    _add_lists(app, target, read)
    _add_tables(app, target, read)
    _add_states(app, target, read)
    return Edge(app, allowed_hosts, access_log)


def _add_lists(app: FastAPI, target: Target, read: Read[bytes]) -> None:
    no_surface: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "The live version has no such surface"}}

    @app.get("/recommendations/{user_id:path}", response_model=Answer, responses=PROBLEMS | no_surface)
    async def recommendations(
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
            return _json(await read(lambda: ANSWER.dump_json(lookup.with_shortfall(lookup.recommend(target, user_id, k, ids, surface), k))))
        except lookup.NoSurface as error:
            raise HTTPException(404, str(error)) from None

    not_there: dict[int | str, dict[str, Any]] = {
        404: {"model": Problem, "description": "The item has no similar ones in the live version, or is not known"}
    }

    @app.get("/items/{item_id:path}/similar", response_model=SimilarItems, responses=PROBLEMS | not_there)
    async def similar(item_id: Identifier, k: ListLength = 20) -> Response:
        """Return an item's neighbours, most similar first."""

        def look_up() -> bytes:
            answer = target.read_similar(item_id, k)
            return SIMILAR.dump_json(answer) if answer else b""

        if body := await read(look_up):
            return _json(body)
        raise HTTPException(404, f"item {item_id!r} has no similar items in the live version")

    @app.get("/popular", response_model=Answer)
    async def popular(window: Window = "recent", k: ListLength = 20) -> Response:
        """Return the popular items, lately or of all time."""
        return _json(await read(lambda: ANSWER.dump_json(lookup.with_shortfall(target.read_popular(window, k), k))))


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


def _add_states(app: FastAPI, target: Target, read: Read[Health]) -> None:
    @app.get("/live", response_model=Alive)
    async def live() -> Response:
        """Return whether the process answers; it asks no database. To be restarted when this fails."""
        return _json(b'{"status":"alive"}')

    @app.get("/ready", response_model=Health)
    async def ready() -> Response:
        """Return whether the tables can be read and are still valid; 503 if not, or if nothing has been published."""
        health = await read(lambda: _health(target))
        if health.stale:
            late = f"version {health.version} of run {health.run_id} was valid until {health.valid_until}; look at the DAG nightly_retrain"
            raise HTTPException(503, late, {"Retry-After": "60"})
        return _json(HEALTH.dump_json(health))

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Return the live version, also when it is stale; 503 without one."""
        return _json(HEALTH.dump_json(await read(lambda: _health(target))))


def _health(target: Target) -> Health:
    """Check by a look-up, so that it fails when look-ups do."""
    live = target.read_popular("recent", 1)
    stale = datetime.fromisoformat(live.valid_until) < datetime.now(UTC)
    return Health(live.run_id, live.version, live.generated_at, live.valid_until, stale)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = [f"{fault['loc'][1]} is {short(fault['input'])}: {_expected(fault)}" for fault in error.errors()]
    return JSONResponse({"detail": "; ".join(told)}, 422)


def _expected(fault: dict[str, Any]) -> str:
    """Describe the expectation in words if pydantic shows a regular expression."""
    if fault["type"] == "string_pattern_mismatch":
        many = fault["loc"][1] in ("exclude", "items")
        return "ids are expected, with commas between them and without control characters" if many else "an id has no control characters"
    return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    """Return the remedy for the client; the access log has the rest, which may name paths of this machine."""
    request.scope[ERROR] = str(error)
    sentence = "the published tables cannot be read now; the service's access log says why, under this answer's X-Request-Id"
    if isinstance(error, NothingPublished):
        sentence = "nothing has been published yet; run the DAG nightly_retrain"
    elif isinstance(error, TimeoutError):
        sentence = "the published tables are locked, or their database is slow; ask again"
    after = next((seconds for kind, seconds in RETRY_SECONDS.items() if isinstance(error, kind)), "5")
    return JSONResponse({"detail": sentence}, 503, {"Retry-After": after})


async def _broken(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the service has failed; its log says how, under this answer's X-Request-Id"}, 500)


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
    app = create_app(lookup.open_target(Settings.from_env()), hosts, sys.stdout)
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

"""Serve the published tables over HTTP: the reference look-up. `make serve`, or `python -m hybridrec.service --port 8100`.

/openapi.json describes it. It opens the tables read-only and keeps nothing: each answer is one query, so it is of one version
as a whole, and a switch of the live version shows in the next answer. Nobody is asked who they are, so it listens on this
machine only; put what knows your users in front of it before you set another host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import uvicorn
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from hybridrec import job, lookup
from hybridrec.errors import BadData
from hybridrec.publishing import live_publication
from hybridrec.settings import Settings
from hybridrec.targets import Answer, SimilarItems, Target

MAX_ID = 256
MAX_K = 200
MAX_EXCLUDED = 200
Identifier = Annotated[str, Path(min_length=1, max_length=MAX_ID)]
Places = Annotated[int, Query(ge=1, le=MAX_K, description="At most so many places; a published list may be shorter.")]
ItemId = Annotated[str, Query(min_length=1, max_length=MAX_ID)]
Excluded = Annotated[list[ItemId], Query(max_length=MAX_EXCLUDED, description="Items to leave out; repeat it for each.")]


@dataclass(frozen=True)
class Health:
    """The version that is live; after valid_until the night is late."""

    run_id: str
    version: str
    generated_at: str
    valid_until: str


@dataclass(frozen=True)
class Problem:
    """What is wrong, in a sentence."""

    detail: str


@dataclass(frozen=True)
class Params:
    """The command line."""

    port: int = 8100
    host: str = "127.0.0.1"


# Answers are made by our own code, so they are written as JSON by their types and not validated again.
ANSWER, SIMILAR, HEALTH = TypeAdapter(Answer), TypeAdapter(SimilarItems), TypeAdapter(Health)


def create_app(target: Target) -> FastAPI:
    """The service over a target, which it closes at its end."""

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        target.close()

    # the pages /docs and /redoc would load scripts from elsewhere
    app = FastAPI(title="hybridrec look-up", lifespan=closing, docs_url=None, redoc_url=None, responses={503: {"model": Problem}})
    app.add_exception_handler(BadData, _unavailable)
    app.add_exception_handler(OSError, _unavailable)
    _add_routes(app, target)
    return app


def _add_routes(app: FastAPI, target: Target) -> None:
    """All of them are `async def` although they wait for the database: a query takes less than handing it to a thread."""

    @app.get("/recommendations/{user_id:path}", response_model=Answer)
    async def recommendations(user_id: Identifier, k: Places = 20, exclude: Excluded = []) -> Response:  # noqa: B006  never changed
        """A user's list, best first. For a user who is not known it is the popular items, and `reason` says unknown_user."""
        return _json(ANSWER.dump_json(lookup.recommend(target, user_id, k, frozenset(exclude))))

    @app.get("/items/{item_id:path}/similar", response_model=SimilarItems, responses={404: {"model": Problem}})
    async def similar(item_id: Identifier, k: Places = 20) -> Response:
        """An item's neighbours, most similar first."""
        found = target.read_similar(item_id, k)
        if found is None:
            raise HTTPException(404, f"item {item_id!r} has no similar items in the live version")
        return _json(SIMILAR.dump_json(found))

    @app.get("/popular", response_model=Answer)
    async def popular(window: Literal["recent", "all_time"] = "recent", k: Places = 20) -> Response:
        """The popular items, lately or of all time."""
        return _json(ANSWER.dump_json(target.read_popular(window, k)))

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Which version is live; 503 when none is."""
        live = live_publication(target.versions())
        if live is None:
            raise HTTPException(503, "nothing has been published yet; run the DAG nightly_retrain")
        times = (live.generated_at.isoformat(), live.valid_until.isoformat())
        return _json(HEALTH.dump_json(Health(live.run_id, live.version, *times)))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    """Nothing is published, or the file cannot be read now: the message says which, and what to do."""
    return JSONResponse({"detail": job.explain_os_error(error) if isinstance(error, OSError) else str(error)}, 503)


def main(params: Params) -> None:
    """Serve until the process is told to stop."""
    app = create_app(lookup.open_target(Settings.from_env()))
    uvicorn.run(app, host=params.host, port=params.port, loop="uvloop", http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    job.start(main, Params)

"""Refuse requests, and explain failures, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from hybridrec.base.errors import NothingPublished, PermanentError
from hybridrec.serving.feedback_routes import too_many
from hybridrec.serving.http_edge import ERROR
from hybridrec.serving.parameters import short
from hybridrec.versions.publications import said

RETRY_SECONDS = {NothingPublished: "60", TimeoutError: "1"}  # Retry-After of 503
MAX_FAULTS = 3  # of a request that one answer names


@dataclass(frozen=True)
class Problem:
    """The problem."""

    detail: str = said(
        "A sentence that says what is wrong and what would be right.", "k is '0': input should be greater than or equal to 1"
    )


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


def add_handlers(app: FastAPI) -> None:
    """Let each kind of failure be answered in a sentence."""
    for kind, handle in ((PermanentError, _unavailable), (OSError, _unavailable), (RequestValidationError, _refused), (Exception, _broken)):
        app.add_exception_handler(kind, handle)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = [_said_of(fault) for fault in error.errors()]
    more = [f"and {len(told) - MAX_FAULTS} more"] if len(told) > MAX_FAULTS else []
    return JSONResponse({"detail": "; ".join([*told[:MAX_FAULTS], *more])}, 422)


def _said_of(fault: dict[str, Any]) -> str:
    place = ".".join(map(str, fault["loc"][1:])) if fault["loc"][0] == "body" else str(fault["loc"][1])
    if fault["type"] == "json_invalid":
        return f"the body is no JSON: {fault['ctx']['error']} at character {place}"
    if place == "events" and fault["type"] == "too_long":
        return too_many(fault["ctx"]["actual_length"])
    return f"{place or 'the body'} is {short(fault['input'])}: {_expected(fault)}"


def _expected(fault: dict[str, Any]) -> str:
    """Describe the expectation in words if pydantic shows a regular expression."""
    if fault["type"] == "string_pattern_mismatch":
        if fault["loc"][-1] == "recommendation_id":
            return "32 hexadecimal digits are expected, as an answer has them"
        many = fault["loc"][1] in ("exclude", "items")
        return "ids are expected, with commas between them and without control characters" if many else "an id has no control characters"
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
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

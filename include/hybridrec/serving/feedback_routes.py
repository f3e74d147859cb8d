"""Log what the look-up serves, and take the events that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import TypeAdapter

from hybridrec.feedback.append_log import AppendLog
from hybridrec.feedback.lines import EVENTS, MAX_EVENTS, SERVED, SERVED_LINE, Accepted, Events, ServedLine, as_event_line
from hybridrec.serving.http_edge import IS_HEAD, MAX_BODY
from hybridrec.versions.publications import ServedAnswer, said

ACCEPTED = TypeAdapter(Accepted)
RETRY = {"Retry-After": "5"}


@dataclass(frozen=True)
class LogLines:
    """Lines of a log since the service started."""

    written: int = said("Lines in the files.", 81_723)
    waiting: int = said("Lines that are to be written.", 0)
    lost: int = said("Lines that were dropped, because too many waited.", 0)
    problem: str = said("Why lines wait; empty if they do not for long.", "")


def served_line(answer: ServedAnswer, k: int) -> bytes:
    """Return the line of an answer that is about to be sent."""
    line = ServedLine(
        recommendation_id=answer.recommendation_id,
        served_at=datetime.now(UTC),
        user_id=answer.user_id,
        surface=answer.surface,
        run_id=answer.run_id,
        version=answer.version,
        experiment=answer.experiment,
        variant=answer.variant,
        arm=answer.arm,
        arm_probability=answer.arm_probability,
        item_ids=tuple(entry.item_id for entry in answer.entries),
        slot_probabilities=answer.slot_probabilities,
        altered=answer.altered,
        k=k,
    )
    return SERVED_LINE.dump_json(line)


def log_served(log: AppendLog | None, request: Request, line: bytes) -> None:
    """Have the line of an answer written, unless the answer goes without its body."""
    if log is not None and IS_HEAD not in request.scope:
        log.add(SERVED, [line])


def log_lines(log: AppendLog | None, kind: str) -> LogLines | None:
    """Return the state of a log of one kind; None without a log."""
    if log is None:
        return None
    state = log.state(kind)
    return LogLines(state.written, state.waiting, state.lost, state.problem)


def add_events(app: FastAPI, log: AppendLog | None, problems: dict[int | str, dict[str, Any]]) -> None:
    """Add the path that takes events; problems: what the other paths answer."""
    problem = problems[422]
    more: dict[int | str, dict[str, Any]] = {
        404: problem | {"description": "The service keeps no log"},
        411: problem | {"description": "The request does not say how long it is"},
        413: problem | {"description": f"The request is longer than {MAX_BODY:,} bytes"},
        422: problem | {"description": "An event has an unknown or a wrong field, or there are too many; none of the request is taken"},
        503: problem | {"description": "The log cannot be written now; send the same events again"},
    }

    @app.post("/events", status_code=202, response_model=Accepted, responses=problems | more)
    async def events(body: Events) -> Response:
        """Take impressions, clicks, carts and purchases that follow from answers of this service.

        They are in the tables after the next ingest. Delivery is at least once: send a request again until it is answered with 202. An
        event that comes again with the same event_id and the same content counts once.
        """
        if log is None:
            raise HTTPException(404, "this service keeps no log, so it takes no events; start it without --no-log")
        now = datetime.now(UTC)
        problem = log.state(EVENTS).problem
        if problem or not log.add(EVENTS, [as_event_line(event, now) for event in body.events]):
            raise HTTPException(
                503, f"the log cannot be written now: {problem or 'too many lines wait'}; send the same events again", RETRY
            )
        return Response(ACCEPTED.dump_json(Accepted(len(body.events))), 202, media_type="application/json")


def too_many(n_events: object) -> str:
    """Return the sentence for a request of too many events."""
    return f"events has {n_events} entries, expected at most {MAX_EVENTS} a request; send them in several"

"""Lines of the look-up's log: an answer that was served, and an event that a caller sends because of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from hybridrec.base.config import MAX_K
from hybridrec.tables import MAX_ID

SERVED, EVENTS = "served", "events"
KINDS = (SERVED, EVENTS)
FEEDBACK_TYPES = ("impression", "click", "add_to_cart", "purchase")
MAX_EVENTS = 100  # a request
MAX_EVENT_ID = 200  # characters: core_events names the event by it, with a few characters before it
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
RECOMMENDATION_ID = r"^[0-9a-f]{32}$"
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=NO_CONTROLS)]


@dataclass(frozen=True)
class ServedLine:
    """An answer of the look-up; see core_served. k: as asked for."""

    recommendation_id: str
    served_at: AwareDatetime
    user_id: str
    surface: str
    run_id: str
    version: str
    experiment: str | None
    variant: str | None
    arm: str | None
    arm_probability: float | None
    item_ids: tuple[str, ...]
    slot_probabilities: tuple[float, ...] | None
    altered: bool
    k: int


class Event(BaseModel):
    """An event that follows from an answer of the look-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_EVENT_ID, pattern=NO_CONTROLS)] = Field(
        description="The caller's own; an event that is sent again keeps it, and counts once.", examples=["shop-81723"]
    )
    recommendation_id: Annotated[str, StringConstraints(pattern=RECOMMENDATION_ID)] = Field(
        description="The answer that led here.", examples=["5f0c2a9e7b1d4c38a6e2f9d0b7c4e135"]
    )
    event_type: Literal["impression", "click", "add_to_cart", "purchase"] = Field(
        description="impression: a person saw the item at its position.", examples=["click"]
    )
    item_id: Identifier = Field(description="An item of that answer.", examples=["50"])
    event_at: AwareDatetime = Field(description="When it happened, ISO 8601 with a time zone.", examples=["2026-04-11T09:30:12Z"])
    position: Annotated[int, Field(ge=1, le=MAX_K, strict=True)] | None = Field(
        None, description="Position at which it was shown, 1 is the top; the answer's own without it.", examples=[3]
    )
    user_id: Identifier | None = Field(
        None,
        description="The user who saw it. Send it: only this field tells of a cached answer that has reached another user.",
        examples=["196"],
    )


class Events(BaseModel):
    """Events of one request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS, description=f"At most {MAX_EVENTS}.")


@dataclass(frozen=True)
class Accepted:
    """Events that were taken."""

    accepted: int = Field(description="Events of the request.", examples=[2])


class EventLine(Event):
    """An event with the time of its arrival; a later release's line may have more fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    received_at: AwareDatetime


SERVED_LINE, EVENT_LINE = TypeAdapter(ServedLine), TypeAdapter(EventLine)


def as_event_line(event: Event, received_at: datetime) -> bytes:
    """Return the line of a validated event."""
    return EventLine.model_construct(**dict(event), received_at=received_at).model_dump_json().encode()

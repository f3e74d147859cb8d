"""Parameters of the look-up service: how ids and numbers may be given, and what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import HTTPException, Path, Query
from pydantic import StringConstraints

from hybridrec.base.config import MAX_K
from hybridrec.tables import MAX_ID

MAX_EXCLUDED = 200
MAX_BASKET = 100  # items that are asked for together

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
IDS = r"^[^,\x00-\x1f\x7f]+(,[^,\x00-\x1f\x7f]+)*$"
Identifier = Annotated[
    str, Path(min_length=1, max_length=MAX_ID, pattern=NO_CONTROLS, description="As the data have it.", examples=["196"])
]
ListLength = Annotated[int, Query(ge=1, le=MAX_K, description="At most so many positions; a published list may be shorter.")]
Excluded = Annotated[
    list[Annotated[str, StringConstraints(pattern=IDS)]],
    Query(
        max_length=MAX_EXCLUDED,
        description="Items to leave out: repeat it for each, or give several with commas between them. An id that holds a comma is left out"
        f" too. At most {MAX_EXCLUDED} ids of at most {MAX_ID} characters.",
        examples=[["50", "181,100"]],
    ),
]
Basket = Annotated[
    list[Annotated[str, StringConstraints(pattern=IDS)]],
    Query(
        min_length=1,
        max_length=MAX_BASKET,
        description="The items of the basket: repeat it for each, or give several with commas between them. An id that holds a comma cannot"
        f" be asked for. At most {MAX_BASKET} ids of at most {MAX_ID} characters.",
        examples=[["50", "181,100"]],
    ),
]
ExcludedUsers = Annotated[
    list[Annotated[str, StringConstraints(pattern=IDS)]],
    Query(
        max_length=MAX_EXCLUDED,
        description=f"Users to leave out, given like the items to leave out elsewhere. At most {MAX_EXCLUDED} ids.",
        examples=[["196", "186,22"]],
    ),
]
SurfaceName = Annotated[
    str, Query(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Surface, as hybridrec.toml names it.", examples=["recommendations"])
]
Window = Annotated[Literal["recent", "all_time"], Query(description="Popular in the newest 30 days of the data, or over all of them.")]


def basket_of(values: list[str]) -> list[str]:
    """Return the ids that the values name, each once, in their order."""
    parts = [part.strip() for value in values for part in value.split(",")]
    if len(parts) > MAX_BASKET:
        raise HTTPException(422, f"items has {len(parts)} ids, expected at most {MAX_BASKET}")
    if too_long := [part for part in parts if len(part) > MAX_ID]:
        raise HTTPException(422, f"items has the id {short(too_long[0])}, expected at most {MAX_ID} characters")
    return list(dict.fromkeys(parts))


def excluded(values: list[str]) -> frozenset[str]:
    """Return the ids that the values name: each as it stands, and what stands between its commas, since either may be meant."""
    parts = [part for value in values for part in value.split(",")]
    if len(parts) > MAX_EXCLUDED:
        raise HTTPException(422, f"exclude has {len(parts)} ids, expected at most {MAX_EXCLUDED}")
    if too_long := [part for part in parts if len(part) > MAX_ID]:
        raise HTTPException(422, f"exclude has the id {short(too_long[0])}, expected at most {MAX_ID} characters")
    return frozenset((*values, *parts, *map(str.strip, parts)))


def short(value: object) -> str:
    """Return a value for a message: on one line, and not the whole of a long one."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"

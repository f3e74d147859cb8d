"""Surfaces: named lists besides the default one, made from the same training, each with its own length, filters and rules.

`[surfaces.email]` of hybridrec.toml makes the surface `email`. The night's own list is the surface `recommendations`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_SURFACE = "recommendations"
ANYBODY = ""  # id for unknown users; no user has it
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
History = Literal["night", "new", "again"]  # purposes of history on a surface
ALWAYS = ("out_of_stock", "seen")  # rules whose result the output checks require of every list


@dataclass(frozen=True)
class Surface:
    """Hold the options of one surface.

    k: items per user; 0 for as many as the night's own list has.
    history: `night` leaves out what `[night.had_days]` says, `new` everything in the user's history, `again` everything else.
    only_categories: a list holds items of these categories only; none for all.
    not_categories: no list holds an item of these categories.
    without_rules: rules that this surface does without.
    rules: options of rules for this surface alone, as `[surfaces.email.rules.mmr]`.
    """

    k: int = 0
    history: str = "night"
    only_categories: list[str] = field(default_factory=list)
    not_categories: list[str] = field(default_factory=list)
    without_rules: list[str] = field(default_factory=list)
    rules: dict[str, dict[str, bool | int | float | str]] = field(default_factory=dict)

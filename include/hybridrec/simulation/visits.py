"""The visits of the synthetic shop: who looks at which list, what is clicked, and what follows from a click."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.simulation.world import CATEGORIES, DAY_MICROS, Config, Items, Users, World, chosen, numbered

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.types import Doubles, Longs

DEVICES = ("phone", "tablet", "desktop")
PAGES = ("home", "category", "search", "item")
# Model the chance of a click, and the events after one.
CLICK_LOGIT, TASTE, POSITION_LOSS, PROMOTION = -0.8, 2.6, 0.15, 0.5
CART, PURCHASE, RATING = 0.3, 0.45, 0.35
EVENTS_PER_POSITION = 1.45  # measured: events per position in a list; from it the number of sessions follows
EVENT_KINDS = ("impression", "click", "view", "add_to_cart", "purchase", "rating")
VIEWED, RATED = EVENT_KINDS.index("view"), EVENT_KINDS.index("rating")


class Sessions(NamedTuple):
    """The visits of one day, ordered by start."""

    user: Longs  # (n_sessions,)
    start: Longs  # (n_sessions,), microseconds since midnight
    shown: Longs  # (n_sessions, list_length), items
    shows: NDArray[np.bool_]  # like shown: False where an item is in the list already
    clicked: NDArray[np.bool_]  # like shown
    liking: Doubles  # like shown, cosine of the hidden vectors


class Log(NamedTuple):
    """Events of one day, one entry each."""

    cell: Longs  # position in the flattened (n_sessions, list_length)
    kind: Longs  # position in EVENT_KINDS
    delay_seconds: Longs  # since the session began
    rating: Doubles  # NaN but for ratings
    dwell_seconds: Doubles  # NaN but for views


class Part(NamedTuple):
    """Some of the visits of one day. number: its place among the parts of the day, of which there are so many."""

    day: int
    number: int
    parts_of_day: int

    @property
    def name(self) -> str:
        """Part of the ids of its events."""
        return f"{self.day:04d}-{self.number}-" if self.number else f"{self.day:04d}-"


def make_part(config: Config, world: World, part: Part, rng: np.random.Generator) -> pa.Table:
    """Return all events of a part of a day, in the order of time."""
    import pyarrow as pa

    sessions = make_sessions(config, world, part, rng)
    log = follow_clicks(sessions, rng)
    length = config.list_length
    session, position, item = log.cell // length, log.cell % length + 1, sessions.shown.ravel()[log.cell]
    day_number = (date.fromisoformat(config.first_day) - date(1970, 1, 1)).days + part.day
    at = day_number * DAY_MICROS + sessions.start[session] + log.delay_seconds * 1_000_000
    order = np.lexsort((log.kind, position, session, at))
    on_home = rng.random(len(sessions.user)) < 0.5
    columns = {
        "event_id": numbered(f"e{part.name}", np.arange(len(order))),
        "user_id": numbered("u", sessions.user[session][order]),
        "item_id": numbered("i", item[order]),
        "event_type": chosen(EVENT_KINDS, log.kind[order]),
        "event_at": pa.array(at[order], pa.timestamp("us", tz="UTC")),
        "session_id": numbered(f"s{part.name}", session[order]),
        "device": chosen(DEVICES, (sessions.user % len(DEVICES))[session][order]),
        "page": chosen(PAGES, np.where(on_home, 0, 1 + sessions.user % 3)[session][order]),
        "position": pa.array(position[order].astype(np.int32)),
        "rating": pa.array(log.rating[order].astype(np.float32), mask=np.isnan(log.rating[order])),
        "dwell_seconds": pa.array(log.dwell_seconds[order].astype(np.float32), mask=np.isnan(log.dwell_seconds[order])),
        "recommendation_id": _masked(numbered(f"r{part.name}", session[order]), ~on_home[session][order]),
        "experiment_id": chosen(("control", "treatment"), (sessions.user % 2)[session][order]),
    }
    return pa.table(columns)


def make_sessions(config: Config, world: World, part: Part, rng: np.random.Generator) -> Sessions:
    """Draw the visits of a day, the shown items, the clicked ones."""
    items, users, day = world.items, world.users, part.day
    n = max(1, round(config.n_events / (config.n_days * part.parts_of_day) / (config.list_length * EVENTS_PER_POSITION)))
    share = np.cumsum(np.where(users.join_day <= day, users.activity, 0.0))
    user = np.minimum(np.searchsorted(share, rng.random(n) * share[-1], side="right"), config.n_users - 1)
    category = draw_categories(users, user, day / (config.n_days - 1), rng)
    shown = draw_items(items, category, day, config.list_length, rng)
    earlier = np.tril(np.ones((config.list_length, config.list_length), dtype=bool), -1)
    shows = ~((shown[:, :, None] == shown[:, None, :]) & earlier).any(axis=2)
    liking = np.einsum("sd,sld->sl", users.vector[user], items.vector[shown])
    logit = CLICK_LOGIT + TASTE * liking + PROMOTION * items.promoted[shown] - POSITION_LOSS * np.arange(config.list_length)
    clicked = shows & (rng.random(logit.shape) < 1 / (1 + np.exp(-logit)))
    start = np.sort(rng.integers(0, 82_800, size=n)) * 1_000_000  # the last visit begins at 23:00 and ends the same day
    return Sessions(user, start, shown, shows, clicked, liking)


def draw_categories(users: Users, user: Longs, progress: float, rng: np.random.Generator) -> Longs:
    """Return one category per session, from the user's taste at this share of the time."""
    taste = (1 - progress) * users.first_taste[user] + progress * users.last_taste[user]
    steps = np.cumsum(taste, axis=1)  # (n_sessions, n_categories)
    drawn = (steps < rng.random((len(user), 1)) * steps[:, -1:]).sum(axis=1)
    category: Longs = np.minimum(drawn, len(CATEGORIES) - 1)
    return category


def draw_items(items: Items, category: Longs, day: int, length: int, rng: np.random.Generator) -> Longs:
    """Return lists of released items of each session's category, the popular and the new more often: (n_sessions, length)."""
    age = day - items.release_day
    weight = np.where(age >= 0, items.popularity * (1 + 2 * np.exp(-np.maximum(age, 0) / 7)), 0.0)
    steps = np.concatenate([[0.0], np.cumsum(weight)])
    low, high = steps[items.first[category]], steps[items.first[category + 1]]
    points = low[:, None] + rng.random((len(category), length)) * (high - low)[:, None]
    drawn = np.searchsorted(steps, points, side="right") - 1
    shown: Longs = np.clip(drawn, items.first[category][:, None], items.first[category + 1][:, None] - 1)
    return shown


def follow_clicks(sessions: Sessions, rng: np.random.Generator) -> Log:
    """Return every impression, and what follows from it: click, view, cart, purchase, rating, each some seconds later."""
    liking, length = sessions.liking.ravel(), sessions.shown.shape[1]
    seen, click = np.flatnonzero(sessions.shows), np.flatnonzero(sessions.clicked)
    cart = click[rng.random(len(click)) < CART * (1 + liking[click])]
    purchase = cart[rng.random(len(cart)) < PURCHASE]
    rating = purchase[rng.random(len(purchase)) < RATING]
    cells = (seen, click, click, cart, purchase, rating)  # in the order of EVENT_KINDS
    cell, sizes = np.concatenate(cells), [len(part) for part in cells]
    kind = np.repeat(np.arange(len(EVENT_KINDS)), sizes)
    after_list = np.array([0, 4, 5, 65, 120, 1_800])  # at most 34 minutes after the session began
    browsing = np.where(kind == 0, 0, 10 * (cell % length))
    stars = np.where(kind == RATED, np.clip(np.round(3.4 + 2 * liking[cell] + rng.normal(0, 0.7, len(cell))), 1, 5), np.nan)
    dwell = np.where(kind == VIEWED, np.round(np.exp(3 + liking[cell] + rng.normal(0, 0.5, len(cell))), 1), np.nan)
    return Log(cell, kind, after_list[kind] + browsing, stars, dwell)


def _masked(values: pa.Array, mask: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), values)

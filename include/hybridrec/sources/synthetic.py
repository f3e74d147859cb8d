"""A made-up shop: as large as wished, the same for the same seed, and with a taste to be learned.

Users and items are drawn by power laws. A session is one user looking at lists from one category, chosen by a taste
that drifts from the user's first mix of categories to the last; within a category an item is clicked the more, the
nearer its hidden vector lies to the user's. Clicks lead to views, carts, purchases, ratings. Items come out on every
day, users join on every day, some never do anything. Titles and descriptions speak of category, brand and style.
Events are written in parts of a day, by Spark's workers where there are many, so memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.errors import BadData
from hybridrec.settings import Settings
from hybridrec.sources import options

if TYPE_CHECKING:
    import pyarrow as pa

DOC = "Synthetic shop: seeded users, items, sessions, drift, stock and promotions; any size"
DAY_MICROS = 86_400_000_000
CATEGORIES = ("lamps", "chairs", "rugs", "kettles", "tents", "boots", "coats", "guitars", "novels", "puzzles", "plants", "bikes")
STYLES = ("amber", "brisk", "calm", "dusky", "early", "frosty", "gentle", "humble", "ivory", "jolly", "keen", "lunar")
BRANDS = ("Arden", "Borel", "Corvid", "Dovetail", "Elmwood", "Fenwick", "Gale", "Harbour")
DEVICES = ("phone", "tablet", "desktop")
PAGES = ("home", "category", "search", "item")
OCCUPATIONS = ("artist", "baker", "clerk", "doctor", "engineer", "farmer", "student", "teacher")
# What makes a click likely, and what follows from one.
CLICK_LOGIT, TASTE, POSITION_LOSS, PROMOTION = -0.8, 2.6, 0.15, 0.5
CART, PURCHASE, RATING = 0.3, 0.45, 0.35
EVENTS_PER_PLACE = 1.45  # measured: events per place in a list; from it the number of sessions follows
PART_EVENTS = 1_000_000  # of a day; some 0.7 GB while they are made
SPARK_FROM_EVENTS = 5_000_000  # below, one process is done before a Spark session has started
SPARK_TASKS = 16  # each makes the world for itself, which takes seconds where users are millions
EVENT_KINDS = ("impression", "click", "view", "add_to_cart", "purchase", "rating")
VIEWED, RATED = EVENT_KINDS.index("view"), EVENT_KINDS.index("rating")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Config:
    """Size and habits of the generated shop.

    n_users: users.
    n_items: items.
    n_events: approximate number of events.
    n_days: days from the first event to the last.
    first_day: date of the first event.
    list_length: items on a list that a user is shown.
    n_dimensions: dimensions of taste.
    user_exponent: exponent of the power law of the users' activity; 0 is even.
    item_exponent: exponent of the power law of the items' popularity; 0 is even.
    new_item_share: share of the items that appear after the first day, evenly.
    new_user_share: share of the users who appear after the first day, evenly.
    silent_user_share: share of the users without events.
    out_of_stock_share: share of the items that are not available.
    promoted_share: share of the items that are promoted.
    """

    n_users: int = 800
    n_items: int = 800
    n_events: int = 50_000
    n_days: int = 60
    first_day: str = "2024-01-01"
    list_length: int = 8
    n_dimensions: int = 6
    user_exponent: float = 0.7
    item_exponent: float = 0.8
    new_item_share: float = 0.25
    new_user_share: float = 0.3
    silent_user_share: float = 0.05
    out_of_stock_share: float = 0.05
    promoted_share: float = 0.06


class Items(NamedTuple):
    """The catalogue, ordered by category: rows first[c] to first[c + 1] are category c."""

    category: Ints  # (n_items,)
    first: Ints  # (n_categories + 1,)
    style: Ints  # (n_items,)
    vector: Floats  # (n_items, n_dimensions)
    popularity: Floats  # (n_items,)
    release_day: Ints  # (n_items,), below 0: before the first day
    promoted: NDArray[np.bool_]  # (n_items,)


class Sessions(NamedTuple):
    """The visits of one day, ordered by start."""

    user: Ints  # (n_sessions,)
    start: Ints  # (n_sessions,), microseconds since midnight
    shown: Ints  # (n_sessions, list_length), items
    shows: NDArray[np.bool_]  # like shown: False where an item is in the list already
    clicked: NDArray[np.bool_]  # like shown
    liking: Floats  # like shown, cosine of the hidden vectors


class Log(NamedTuple):
    """Events of one day, one entry each."""

    place: Ints  # position in the flattened (n_sessions, list_length)
    kind: Ints  # position in EVENT_KINDS
    delay_seconds: Ints  # since the session began
    rating: Floats  # NaN but for ratings
    dwell_seconds: Floats  # NaN but for views


class Users(NamedTuple):
    """The people."""

    vector: Floats  # (n_users, n_dimensions)
    first_taste: NDArray[np.float32]  # (n_users, n_categories), rows sum to 1
    last_taste: NDArray[np.float32]
    activity: Floats  # (n_users,), 0 for the silent
    join_day: Ints  # (n_users,)


class World(NamedTuple):
    """What all days have in common. rng: what is left of the seed's draws, for the descriptions."""

    items: Items
    users: Users
    rng: np.random.Generator


class Part(NamedTuple):
    """Some of the visits of one day. number: its place among the parts of the day, of which there are so many."""

    day: int
    number: int
    parts_of_day: int

    @property
    def name(self) -> str:
        """Part of the ids of its events."""
        return f"{self.day:04d}-{self.number}-" if self.number else f"{self.day:04d}-"


def land(settings: Settings, folder: Path, seed: int) -> None:
    """Write the world: files of events for each day, one of items, one of users."""
    config = options(settings, "synthetic", Config())
    _require_sensible(config)
    world = make_world(config, seed)
    rng = deepcopy(world.rng)  # the world is kept and stays as it is
    _write(folder / "items" / "items.parquet", describe_items(config, world.items, rng))
    _write(folder / "users" / "users.parquet", describe_users(config, world.users, rng))
    parts = parts_of(config)
    (folder / "events").mkdir()
    if config.n_events >= SPARK_FROM_EVENTS:
        _write_by_spark(config, seed, parts, folder)
    else:
        write_parts(config, seed, parts, folder)


@lru_cache(maxsize=1)  # a worker writes many parts
def make_world(config: Config, seed: int) -> World:
    """Items and users; equal for equal arguments, in every process. Only who lands them describes them: a million titles take a while."""
    rng = np.random.default_rng(seed)
    return World(make_items(config, rng), make_users(config, rng), rng)


def parts_of(config: Config) -> list[Part]:
    """All days in order, each cut into parts of at most PART_EVENTS events."""
    each_day = max(1, -(-config.n_events // (config.n_days * PART_EVENTS)))
    return [Part(day, number, each_day) for day in range(config.n_days) for number in range(each_day)]


def write_parts(config: Config, seed: int, parts: Iterable[Part], folder: Path) -> None:
    """Write some parts below folder/events, each with a seed of its own; a file is there whole or not at all."""
    world, first = make_world(config, seed), date.fromisoformat(config.first_day)
    for part in parts:
        of_day = np.random.SeedSequence([seed, part.day, part.number])
        events = make_part(config, world, part, np.random.default_rng(of_day))
        stem = f"{first + timedelta(days=part.day)}" + (f"-{part.number:03d}" if part.parts_of_day > 1 else "")
        _write(folder / "events" / f"{stem}.parquet", events)


def _write_by_spark(config: Config, seed: int, parts: list[Part], folder: Path) -> None:
    """The same by Spark's workers; only the parts' numbers come back."""
    from hybridrec.job import spark_time
    from hybridrec.spark import session

    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            write_parts(config, seed, [parts[place] for place in batch["id"].to_pylist()], folder)
            yield batch

    numbers = session().range(0, len(parts), 1, min(len(parts), SPARK_TASKS))
    with spark_time():
        written = numbers.mapInArrow(of_partition, "id bigint").count()
    if written != len(parts):
        raise RuntimeError(f"{written} of {len(parts)} parts of the synthetic world were written")


def _require_sensible(config: Config) -> None:
    least = {"n_users": 10, "n_items": len(CATEGORIES), "n_events": 100, "n_days": 2, "list_length": 1, "n_dimensions": 1}
    for name, lowest in least.items():
        if getattr(config, name) < lowest:
            raise BadData(f"[sources.synthetic] {name} = {getattr(config, name)}; expected at least {lowest}")
    try:
        date.fromisoformat(config.first_day)
    except ValueError:
        raise BadData(f"[sources.synthetic] first_day = {config.first_day!r}; expected a date as 2024-01-31") from None


def make_items(config: Config, rng: np.random.Generator) -> Items:
    """Items around their category's centre, one of some styles away from it."""
    n, centres = config.n_items, rng.normal(size=(len(CATEGORIES), config.n_dimensions))
    styles = rng.normal(size=(len(STYLES), config.n_dimensions))
    category = np.sort(np.concatenate([np.arange(len(CATEGORIES)), rng.integers(len(CATEGORIES), size=n - len(CATEGORIES))]))
    style = rng.integers(len(STYLES), size=n)
    vector = 0.3 * centres[category] + styles[style] + 0.4 * rng.normal(size=(n, config.n_dimensions))
    release_day = np.where(rng.random(n) < config.new_item_share, rng.integers(1, config.n_days, size=n), -rng.integers(1, 720, size=n))
    release_day[np.searchsorted(category, np.arange(len(CATEGORIES)))] = -1  # no category is ever empty
    return Items(
        category=category,
        first=np.searchsorted(category, np.arange(len(CATEGORIES) + 1)),
        style=style,
        vector=vector / np.linalg.norm(vector, axis=1, keepdims=True),
        popularity=rng.permutation(np.arange(1, n + 1) ** -config.item_exponent),
        release_day=release_day,
        promoted=rng.random(n) < config.promoted_share,
    )


def make_users(config: Config, rng: np.random.Generator) -> Users:
    """Users with a vector, two mixes of a few categories, a power-law activity and a day of joining."""
    n = config.n_users
    vector = rng.normal(size=(n, config.n_dimensions))
    tastes = [rng.dirichlet(np.full(len(CATEGORIES), 0.25), size=n).astype(np.float32) for _ in range(2)]
    activity = rng.permutation(np.arange(1, n + 1) ** -config.user_exponent)
    activity = np.where(rng.random(n) < config.silent_user_share, 0.0, activity)
    join_day = np.where(rng.random(n) < config.new_user_share, rng.integers(1, config.n_days, size=n), 0)
    activity[0], join_day[0] = 1.0, 0  # somebody is there on every day
    return Users(
        vector=vector / np.linalg.norm(vector, axis=1, keepdims=True),
        first_taste=tastes[0],
        last_taste=0.5 * (tastes[0] + tastes[1]),
        activity=activity,
        join_day=join_day,
    )


def make_part(config: Config, world: World, part: Part, rng: np.random.Generator) -> pa.Table:
    """All events of a part of a day, in the order of time."""
    import pyarrow as pa

    sessions = make_sessions(config, world, part, rng)
    log = follow_clicks(sessions, rng)
    length = config.list_length
    session, position, item = log.place // length, log.place % length + 1, sessions.shown.ravel()[log.place]
    day_number = (date.fromisoformat(config.first_day) - date(1970, 1, 1)).days + part.day
    at = day_number * DAY_MICROS + sessions.start[session] + log.delay_seconds * 1_000_000
    order = np.lexsort((log.kind, position, session, at))
    on_home = rng.random(len(sessions.user)) < 0.5
    columns = {
        "event_id": _numbered(f"e{part.name}", np.arange(len(order))),
        "user_id": _numbered("u", sessions.user[session][order]),
        "item_id": _numbered("i", item[order]),
        "event_type": _chosen(EVENT_KINDS, log.kind[order]),
        "event_at": pa.array(at[order], pa.timestamp("us", tz="UTC")),
        "session_id": _numbered(f"s{part.name}", session[order]),
        "device": _chosen(DEVICES, (sessions.user % len(DEVICES))[session][order]),
        "page": _chosen(PAGES, np.where(on_home, 0, 1 + sessions.user % 3)[session][order]),
        "position": pa.array(position[order].astype(np.int32)),
        "rating": pa.array(log.rating[order].astype(np.float32), mask=np.isnan(log.rating[order])),
        "dwell_seconds": pa.array(log.dwell_seconds[order].astype(np.float32), mask=np.isnan(log.dwell_seconds[order])),
        "recommendation_id": _masked(_numbered(f"r{part.name}", session[order]), ~on_home[session][order]),
        "experiment_id": _chosen(("control", "treatment"), (sessions.user % 2)[session][order]),
    }
    return pa.table(columns)


def make_sessions(config: Config, world: World, part: Part, rng: np.random.Generator) -> Sessions:
    """Who visits on a day, what is shown, what is clicked."""
    items, users, day = world.items, world.users, part.day
    n = max(1, round(config.n_events / (config.n_days * part.parts_of_day) / (config.list_length * EVENTS_PER_PLACE)))
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


def draw_categories(users: Users, user: Ints, progress: float, rng: np.random.Generator) -> Ints:
    """One category per session, from the user's taste at this share of the time."""
    taste = (1 - progress) * users.first_taste[user] + progress * users.last_taste[user]
    steps = np.cumsum(taste, axis=1)  # (n_sessions, n_categories)
    drawn = (steps < rng.random((len(user), 1)) * steps[:, -1:]).sum(axis=1)
    category: Ints = np.minimum(drawn, len(CATEGORIES) - 1)
    return category


def draw_items(items: Items, category: Ints, day: int, length: int, rng: np.random.Generator) -> Ints:
    """Lists of released items of each session's category, the popular and the new more often: (n_sessions, length)."""
    age = day - items.release_day
    weight = np.where(age >= 0, items.popularity * (1 + 2 * np.exp(-np.maximum(age, 0) / 7)), 0.0)
    steps = np.concatenate([[0.0], np.cumsum(weight)])
    low, high = steps[items.first[category]], steps[items.first[category + 1]]
    points = low[:, None] + rng.random((len(category), length)) * (high - low)[:, None]
    drawn = np.searchsorted(steps, points, side="right") - 1
    shown: Ints = np.clip(drawn, items.first[category][:, None], items.first[category + 1][:, None] - 1)
    return shown


def follow_clicks(sessions: Sessions, rng: np.random.Generator) -> Log:
    """Every impression, and what follows from it: click, view, cart, purchase, rating, each some seconds later."""
    liking, length = sessions.liking.ravel(), sessions.shown.shape[1]
    seen, click = np.flatnonzero(sessions.shows), np.flatnonzero(sessions.clicked)
    cart = click[rng.random(len(click)) < CART * (1 + liking[click])]
    purchase = cart[rng.random(len(cart)) < PURCHASE]
    rating = purchase[rng.random(len(purchase)) < RATING]
    places = (seen, click, click, cart, purchase, rating)  # in the order of EVENT_KINDS
    place, sizes = np.concatenate(places), [len(part) for part in places]
    kind = np.repeat(np.arange(len(EVENT_KINDS)), sizes)
    after_list = np.array([0, 4, 5, 65, 120, 1_800])  # at most 34 minutes after the session began
    browsing = np.where(kind == 0, 0, 10 * (place % length))
    stars = np.where(kind == RATED, np.clip(np.round(3.4 + 2 * liking[place] + rng.normal(0, 0.7, len(place))), 1, 5), np.nan)
    dwell = np.where(kind == VIEWED, np.round(np.exp(3 + liking[place] + rng.normal(0, 0.5, len(place))), 1), np.nan)
    return Log(place, kind, after_list[kind] + browsing, stars, dwell)


def describe_items(config: Config, items: Items, rng: np.random.Generator) -> pa.Table:
    """The catalogue's columns."""
    import pyarrow as pa

    n, number = config.n_items, np.arange(config.n_items)
    brand = (items.category + rng.integers(3, size=n)) % len(BRANDS)
    words = [
        (STYLES[style], BRANDS[maker], CATEGORIES[kind]) for style, maker, kind in zip(items.style, brand, items.category, strict=True)
    ]
    price = np.exp(2.5 + 0.15 * items.category + rng.normal(0, 0.4, n)).round(2)
    return pa.table(
        {
            "item_id": _numbered("i", number),
            "title": [f"{style.title()} {kind[:-1]} {i} by {maker}" for i, (style, maker, kind) in enumerate(words)],
            "description": [f"{maker} makes {kind} in the {style} style; {style} goes with {style}." for style, maker, kind in words],
            "categories": pa.array([[kind, f"{style} {kind}"] for style, _, kind in words], pa.list_(pa.string())),
            "brand": [maker for _, maker, _ in words],
            "provider": _numbered("provider-", rng.integers(5, size=n)),
            "price": pa.array(price.astype(np.float32)),
            "is_available": rng.random(n) >= config.out_of_stock_share,
            "is_promoted": items.promoted,
            "released_at": _days(config, items.release_day),
        }
    )


def describe_users(config: Config, users: Users, rng: np.random.Generator) -> pa.Table:
    """The user table's columns."""
    import pyarrow as pa

    n = config.n_users
    before = -rng.integers(1, 1_000, size=n)
    return pa.table(
        {
            "user_id": _numbered("u", np.arange(n)),
            "age_years": pa.array(np.clip(rng.normal(38, 13, n), 16, 90).astype(np.int32)),
            "gender": _chosen(("F", "M", "X"), rng.choice(3, size=n, p=(0.49, 0.49, 0.02))),
            "occupation": _chosen(OCCUPATIONS, rng.integers(len(OCCUPATIONS), size=n)),
            "region": _numbered("region-", rng.integers(10, size=n)),
            "joined_at": _days(config, np.where(users.join_day > 0, users.join_day, before)),
        }
    )


def _numbered(prefix: str, numbers: Ints) -> pa.Array:
    """Names as u0000042; equal length, so that their order is that of the numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _chosen(names: tuple[str, ...], codes: Ints) -> pa.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names)).cast(pa.string())


def _masked(values: pa.Array, mask: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), values)


def _days(config: Config, days: Ints) -> pa.Array:
    import pyarrow as pa

    first = (date.fromisoformat(config.first_day) - date(1970, 1, 1)).days
    return pa.array((first + days) * DAY_MICROS, pa.timestamp("us", tz="UTC"))


def _write(path: Path, rows: pa.Table) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows, unfinished, compression="zstd")
    unfinished.replace(path)  # Spark may run a task twice at the same time

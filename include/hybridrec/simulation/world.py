"""The items and users of the synthetic shop: drawn by power laws, each with a hidden vector; and what the tables say of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.types import Doubles, Longs

DAY_MICROS = 86_400_000_000
CATEGORIES = ("lamps", "chairs", "rugs", "kettles", "tents", "boots", "coats", "guitars", "novels", "puzzles", "plants", "bikes")
STYLES = ("amber", "brisk", "calm", "dusky", "early", "frosty", "gentle", "humble", "ivory", "jolly", "keen", "lunar")
BRANDS = ("Arden", "Borel", "Corvid", "Dovetail", "Elmwood", "Fenwick", "Gale", "Harbour")
OCCUPATIONS = ("artist", "baker", "clerk", "doctor", "engineer", "farmer", "student", "teacher")


@dataclass(frozen=True)
class Config:
    """Size and habits of the synthetic shop.

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

    category: Longs  # (n_items,)
    first: Longs  # (n_categories + 1,)
    style: Longs  # (n_items,)
    vector: Doubles  # (n_items, n_dimensions)
    popularity: Doubles  # (n_items,)
    release_day: Longs  # (n_items,), below 0: before the first day
    promoted: NDArray[np.bool_]  # (n_items,)


class Users(NamedTuple):
    """The people."""

    vector: Doubles  # (n_users, n_dimensions)
    first_taste: NDArray[np.float32]  # (n_users, n_categories), rows sum to 1
    last_taste: NDArray[np.float32]
    activity: Doubles  # (n_users,), 0 for the silent
    join_day: Longs  # (n_users,)


class World(NamedTuple):
    """Shared state of all days. rng: the rest of the seed's draws, for the descriptions."""

    items: Items
    users: Users
    rng: np.random.Generator


@lru_cache(maxsize=1)  # a worker writes many parts
def make_world(config: Config, seed: int) -> World:
    """Return items and users; equal arguments give equal results in every process. Titles are left to `land`: they take a while."""
    rng = np.random.default_rng(seed)
    return World(make_items(config, rng), make_users(config, rng), rng)


def make_items(config: Config, rng: np.random.Generator) -> Items:
    """Return items around their category's centre, one of some styles away from it."""
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
    """Return users with a vector, two mixes of a few categories, a power-law activity and a day of joining."""
    n = config.n_users
    vector = rng.normal(size=(n, config.n_dimensions))
    tastes = [rng.dirichlet(np.full(len(CATEGORIES), 0.25), size=n).astype(np.float32) for _ in range(2)]
    activity = rng.permutation(np.arange(1, n + 1) ** -config.user_exponent)
    activity = np.where(rng.random(n) < config.silent_user_share, 0.0, activity)
    join_day = np.where(rng.random(n) < config.new_user_share, rng.integers(1, config.n_days, size=n), 0)
    activity[0], join_day[0] = 1.0, 0  # at least one user is there on every day
    return Users(
        vector=vector / np.linalg.norm(vector, axis=1, keepdims=True),
        first_taste=tastes[0],
        last_taste=0.5 * (tastes[0] + tastes[1]),
        activity=activity,
        join_day=join_day,
    )


def describe_items(config: Config, items: Items, rng: np.random.Generator) -> pa.Table:
    """Return the catalogue's columns."""
    import pyarrow as pa

    n, number = config.n_items, np.arange(config.n_items)
    brand = (items.category + rng.integers(3, size=n)) % len(BRANDS)
    words = [
        (STYLES[style], BRANDS[maker], CATEGORIES[kind]) for style, maker, kind in zip(items.style, brand, items.category, strict=True)
    ]
    price = np.exp(2.5 + 0.15 * items.category + rng.normal(0, 0.4, n)).round(2)
    return pa.table(
        {
            "item_id": numbered("i", number),
            "title": [f"{style.title()} {kind[:-1]} {i} by {maker}" for i, (style, maker, kind) in enumerate(words)],
            "description": [f"{maker} makes {kind} in the {style} style; {style} goes with {style}." for style, maker, kind in words],
            "categories": pa.array([[kind, f"{style} {kind}"] for style, _, kind in words], pa.list_(pa.string())),
            "brand": [maker for _, maker, _ in words],
            "provider": numbered("provider-", rng.integers(5, size=n)),
            "price": pa.array(price.astype(np.float32)),
            "is_available": rng.random(n) >= config.out_of_stock_share,
            "is_promoted": items.promoted,
            "released_at": _days(config, items.release_day),
        }
    )


def describe_users(config: Config, users: Users, rng: np.random.Generator) -> pa.Table:
    """Return the user table's columns."""
    import pyarrow as pa

    n = config.n_users
    before = -rng.integers(1, 1_000, size=n)
    return pa.table(
        {
            "user_id": numbered("u", np.arange(n)),
            "age_years": pa.array(np.clip(rng.normal(38, 13, n), 16, 90).astype(np.int32)),
            "gender": chosen(("F", "M", "X"), rng.choice(3, size=n, p=(0.49, 0.49, 0.02))),
            "occupation": chosen(OCCUPATIONS, rng.integers(len(OCCUPATIONS), size=n)),
            "region": numbered("region-", rng.integers(10, size=n)),
            "joined_at": _days(config, np.where(users.join_day > 0, users.join_day, before)),
        }
    )


def numbered(prefix: str, numbers: Longs) -> pa.Array:
    """List the names as u0000042; equal length, so that their order is that of the numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def chosen(names: tuple[str, ...], codes: Longs) -> pa.Array:
    """Return the name of each code."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names)).cast(pa.string())


def _days(config: Config, days: Longs) -> pa.Array:
    import pyarrow as pa

    first = (date.fromisoformat(config.first_day) - date(1970, 1, 1)).days
    return pa.array((first + days) * DAY_MICROS, pa.timestamp("us", tz="UTC"))

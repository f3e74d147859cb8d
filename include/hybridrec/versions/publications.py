"""Published versions: the row that describes one, what a service reads of it, and what a target must be able to do.

Published names are PUBLISHED; `table("out_" + name)` defines the columns of each. Beside its own columns, every row a
service reads carries run_id, version, model_version, generated_at and valid_until. All of them are staged and switched together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from hybridrec.base import config
from hybridrec.base.errors import NothingPublished, PermanentError
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.tables import Table, table

if TYPE_CHECKING:
    import pyarrow as pa

HASHED = ("recommendations", "similar_items", "popular_items", "items")  # what content_hash is of, as ever: docs/decisions/0076
SIDE_TABLES = config.SIDE_TABLES
SURFACE_LISTS = "surface_lists"
BESIDE_LISTS = (*SIDE_TABLES, SURFACE_LISTS)
PUBLISHED = (*HASHED[:-1], *BESIDE_LISTS, HASHED[-1])  # `items` comes last: see targets/postgres.py
LISTED = {"buy_again": "item_ids", "bought_together": "item_ids", "item_audiences": "user_ids"}  # the lists that read_lists returns
# Sentence for a whole list, by a column of its rows: the reason of similar_items, the window of popular_items.
SIMILAR_SENTENCES = {"item_knn": "chosen by the same people", "content": "alike by its description"}
TABLE_SENTENCES = {
    "buy_again": "you have bought it before",
    "bought_together": "bought together with it",
    "trending": "more popular than before",
}
POPULAR_SENTENCES = {"recent": "popular with everyone lately", "all_time": "popular with everyone"}
T = TypeVar("T")
POPULAR_SURFACE = "/popular"  # no surface of hybridrec.toml has such a name
DRAWN = ("experiment", "variant", "arm", "arm_probability", "slot_probabilities")  # columns of a list's row, see out_recommendations
VERSION = re.compile(r"[a-z0-9_]{1,40}")
State = Literal["staged", "live", "kept", "rejected", "dropped"]
Reason = Literal["ranked", "filled", "fallback", "unknown_user"]
REASONS = (
    "Origin of the list. ranked: all items come from the user's own list. filled: the last ones are popular items. fallback: all of them"
    " are popular items, because the user has no list or all of it was excluded. unknown_user: all of them are popular items, because the"
    " published tables do not have the user."
)


def definition(name: str) -> Table:
    """Return columns and key of a published table."""
    return table(f"out_{name}")


def require_version(version: str) -> str:
    """Return the version, if it may be part of the name of a table or schema; PermanentError otherwise."""
    if not VERSION.fullmatch(version):
        raise PermanentError(f"version {version!r}: lower-case letters, digits and '_' only, at most 40")
    return version


@dataclass(frozen=True)
class Publication:
    """A row of `publications`: one version of all published tables.

    version: made from the run, so a rerun stages the same version again.
    counts: rows by table. content_hash: over the rows of the tables HASHED without version, run and times; equal content
    has an equal hash.
    state: staged, live, kept (may be rolled back to), rejected (a check failed) or dropped (its tables are gone, the row
    stays for the record).
    """

    version: str
    run_id: str
    source: str
    as_of: datetime
    model_version: str
    generated_at: datetime
    valid_until: datetime
    counts: Mapping[str, int]
    content_hash: str
    state: State
    notes: str


def other_tables(stored: Mapping[str, object], staged: Mapping[str, object]) -> tuple[str, ...]:
    """Return the tables besides the lists whose checksum is another one; content_hash does not say so of them."""
    return tuple(name for name in BESIDE_LISTS if name in stored and stored[name] != staged[name])


def said(description: str, example: object, compare: bool = True) -> Any:
    """Return a field of an answer, with what /openapi.json says about it."""
    return field(metadata={"description": description, "examples": [example]}, compare=compare)


@dataclass(frozen=True)
class Entry:
    """One entry of a published list."""

    rank: int = said("Position in the list; 1 is best.", 1)
    item_id: str = said("The item, as the catalogue calls it.", "50")
    title: str | None = said("Its title; null for an item without one.", "Star Wars (1977)")
    score: float = said("Higher is better. Scores never rise along a list and compare within one list only.", 0.83)
    reason: str = said("Why the item stands here, as a sentence for a person.", "because of Empire Strikes Back, The (1980)")
    source: str = said(
        "The models that retrieved it, joined by '+', or the tier of the fallback: popular_recent, popular_all_time, catalogue.", "als+ease"
    )


@dataclass(frozen=True)
class Answer:
    """Answer of a service for one user."""

    user_id: str = said("The user who was asked for; empty for /popular.", "196")
    entries: tuple[Entry, ...] = said("Best first.", [])
    reason: Reason = said(REASONS, "ranked")  # noqa: RUF009  it gives a field
    shortfall: str | None = said("Why there are fewer places than asked for or than a full list has; null if there are not.", None)
    run_id: str = said("The run that made the version.", "scheduled__2026-04-11T02:00:00+00:00")
    version: str = said("The published version that the whole answer comes from.", "scheduled_2026_04_11t02_0_1f2e3d4c")
    generated_at: str = said("When it was made, UTC, ISO 8601.", "2026-04-11T02:41:07+00:00")
    valid_until: str = said("After this the night is late: the list is still good to show.", "2026-04-13T02:41:07+00:00")
    experiment: str | None = said("Experiment in which the user takes part; null for none.", None)
    variant: str | None = said("Variant of it that the list follows; null for none.", None)
    recommendation_id: str = said(
        "Identifies this one answer; the events that follow from it name it.", "5f0c2a9e7b1d4c38a6e2f9d0b7c4e135", compare=False
    )


@dataclass(frozen=True)
class ServedAnswer(Answer):
    """An answer with what its line in the served log says besides.

    surface: that was asked for; POPULAR_SURFACE for popular items that were asked for as such. altered: excluded items have moved others to
    other positions. arm, arm_probability, slot_probabilities: what the night drew, see out_recommendations; null if nothing was drawn.
    """

    surface: str = DEFAULT_SURFACE
    arm: str | None = None
    arm_probability: float | None = None
    slot_probabilities: tuple[float, ...] | None = None
    altered: bool = False


def popular_answer(window: str, rows: Sequence[Sequence[Any]]) -> ServedAnswer:
    """Return the answer from rows of rank, item_id, title, score and the origin, as texts, of a window of popular_items."""
    sentence, source = POPULAR_SENTENCES[window], f"popular_{window}"
    entries = tuple(Entry(rank, item_id, title, score, sentence, source) for rank, item_id, title, score, *_ in rows)
    run_id, version, generated_at, valid_until = rows[0][4:]
    origin: tuple[str, str, str, str] = (run_id, version, generated_at, valid_until)
    return ServedAnswer("", entries, "unknown_user", None, *origin, None, None, "", surface=POPULAR_SURFACE)


def drawn_columns(alias: str, known: Sequence[str]) -> str:
    """Return the columns DRAWN of a list's row for SELECT, null for those that the table does not have."""
    return ", ".join(f"{alias}.{name}" if name in known else "NULL" for name in DRAWN)


@dataclass(frozen=True)
class SimilarItems:
    """Answer of a service for one item: its neighbours."""

    item_id: str = said("The item that was asked for.", "50")
    entries: tuple[Entry, ...] = said("Most similar first; an entry's score is the similarity.", [])
    run_id: str = said("The run that made the version.", "scheduled__2026-04-11T02:00:00+00:00")
    version: str = said("The published version that the whole answer comes from.", "scheduled_2026_04_11t02_0_1f2e3d4c")
    generated_at: str = said("When it was made, UTC, ISO 8601.", "2026-04-11T02:41:07+00:00")
    valid_until: str = said("After this the night is late: the list is still good to show.", "2026-04-13T02:41:07+00:00")


class StoredList(NamedTuple):
    """A row of one of LISTED: ids and scores, best first; titles of the items by id. origin: as the last fields of an answer."""

    key: str
    ids: list[str]
    scores: list[float]
    titles: dict[str, str | None]
    origin: tuple[str, str, str, str]


@dataclass(frozen=True)
class Origin:
    """Origin of an answer."""

    run_id: str = said("The run that made the version.", "scheduled__2026-04-11T02:00:00+00:00")
    version: str = said("The published version that the whole answer comes from.", "scheduled_2026_04_11t02_0_1f2e3d4c")
    generated_at: str = said("When it was made, UTC, ISO 8601.", "2026-04-11T02:41:07+00:00")
    valid_until: str = said("After this the night is late: the list is still good to show.", "2026-04-13T02:41:07+00:00")


@dataclass(frozen=True, kw_only=True)
class BuyAgain(Origin):
    """Answer of a service for one user: what may be bought again."""

    user_id: str = said("The user who was asked for.", "196")
    entries: tuple[Entry, ...] = said("The likeliest first; all are items that the user has bought before.", [])


@dataclass(frozen=True, kw_only=True)
class BoughtTogether(Origin):
    """Answer of a service for some items: what completes the basket."""

    item_ids: tuple[str, ...] = said("The items that were asked for.", ["50"])
    unknown: tuple[str, ...] = said("Those of them that are bought with nothing else, or not known.", [])
    entries: tuple[Entry, ...] = said("Best first; an entry's score is the sum over the items that were asked for.", [])


@dataclass(frozen=True)
class Reached:
    """A user in the audience of an item."""

    rank: int = said("Position in the list; 1 is best.", 1)
    user_id: str = said("The user.", "196")
    score: float = said("Higher is better; scores compare within one list only.", 2.4)


@dataclass(frozen=True, kw_only=True)
class ItemAudience(Origin):
    """Answer of a service for one item: who should hear of it."""

    item_id: str = said("The item that was asked for.", "50")
    users: tuple[Reached, ...] = said("The likeliest buyer first; without recent buyers and users who opted out.", [])


@dataclass(frozen=True, kw_only=True)
class Trending(Origin):
    """Answer of a service: items on the rise."""

    window_days: float = said("Days that count as lately, as the night chose them.", 7.0)
    entries: tuple[Entry, ...] = said("The steepest rise first; a score is events lately over those expected.", [])


def trending_of(rows: Sequence[Sequence[Any]]) -> Trending | None:
    """Return the answer from rows of rank, item_id, title, score, window_days and the origin, as texts; None without rows."""
    if not rows:
        return None
    sentence = TABLE_SENTENCES["trending"]
    entries = tuple(Entry(rank, item_id, title, score, sentence, "trending") for rank, item_id, title, score, *_ in rows)
    return Trending(*rows[0][5:], window_days=rows[0][4], entries=entries)


def of_this_release(read: Callable[[], list[T]], versions: Callable[[], list[Publication]]) -> list[T]:
    """Return the rows of a table besides the lists; none where an earlier release has published the live version without that table."""
    try:
        return read()
    except NothingPublished:
        if any(publication.state == "live" for publication in versions()):
            return []
        raise


class Target(Protocol):
    """Store of published tables."""

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Write all of PUBLISHED as one version, invisible to readers; batches come in the order of the key.

        Returns the publication with content_hash and counts as stored. `publication.counts` are the rows to expect; a table with
        another number is PermanentError. Staging the same rows again changes nothing; other rows replace a version that
        was never live and are PermanentError for one that was.
        """

    def check(self, version: str) -> None:
        """Raise PermanentError unless the stored version is whole: its rows as read back give its counts and hash."""

    def switch_to(self, version: str, keep: int) -> None:
        """Make a staged or kept version live in one transaction; then drop versions beyond the newest `keep`."""

    def versions(self) -> list[Publication]:
        """Return all versions, newest first; empty when nothing was ever staged."""

    def read_live(self, name: str, columns: tuple[str, ...] = ()) -> Iterable[pa.RecordBatch]:
        """Yield the rows of the live version of a published table in the order of its key; PermanentError when nothing is live."""

    def read_user(self, user_id: str, surface: str = DEFAULT_SURFACE) -> ServedAnswer | None:
        """Return a user's list on a surface by one indexed query, None for an unknown one; PermanentError when nothing is live.

        The user ANYBODY has a list on every surface but the default one.
        """

    def read_popular(self, window: str, k: int) -> ServedAnswer:
        """Return the k most popular items, as the answer for a user who is not known."""

    def read_similar(self, item_id: str, k: int) -> SimilarItems | None:
        """Return the k most similar items by one indexed query, None for an item without any; PermanentError if nothing is live."""

    def read_lists(self, name: str, keys: Sequence[str]) -> list[StoredList]:
        """Return the rows of one of LISTED by one indexed query, in the order of the keys, of one version; a key without a row has none."""

    def read_trending(self, k: int) -> Trending | None:
        """Return the k items that rise most, None without any; PermanentError when nothing is live."""

    def close(self) -> None:
        """Give up connections."""

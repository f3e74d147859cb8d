"""Publish targets: one file each.

A member has `DOC` (one line) and `connect(settings: Settings) -> Target`. A version is immutable; what services
read are views that `switch_to` moves in one transaction; until it commits, last night's version is live.

Published names are PUBLISHED; `table("out_" + name)` defines the columns of each. Beside its own columns, every row a
service reads carries run_id, version, model_version, generated_at and valid_until.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from hybridrec.tables import Table, table

if TYPE_CHECKING:
    import pyarrow as pa

PUBLISHED = ("recommendations", "similar_items", "popular_items", "items")
# What a person reads for a whole list, by what its rows say of themselves: the reason of similar_items, the window of popular_items.
WHY_SIMILAR = {"item_knn": "chosen by the same people", "content": "alike by its description"}
WHY_POPULAR = {"recent": "popular with everyone lately", "all_time": "popular with everyone"}
State = Literal["staged", "live", "kept", "rejected", "dropped"]


def definition(name: str) -> Table:
    """Columns and key of a published table."""
    return table(f"out_{name}")


@dataclass(frozen=True)
class Publication:
    """A row of `publications`: one version of all published tables.

    version: made from the run, so a rerun stages the same version again.
    counts: rows by table. content_hash: over the rows of all tables without version, run and times; equal content
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


@dataclass(frozen=True)
class Entry:
    """One place of a published list; rank 1 is best, score higher is better."""

    rank: int
    item_id: str
    title: str | None
    score: float
    reason: str
    source: str


@dataclass(frozen=True)
class Answer:
    """What a service gets for one user.

    reason: ranked, filled, fallback, or unknown_user when the list is the popular items.
    shortfall: why there are fewer entries than a full list, if so.
    """

    user_id: str
    entries: tuple[Entry, ...]
    reason: str
    shortfall: str | None
    run_id: str
    version: str
    generated_at: str
    valid_until: str


@dataclass(frozen=True)
class SimilarItems:
    """What a service gets for one item: its neighbours, most similar first. An entry's score is the similarity."""

    item_id: str
    entries: tuple[Entry, ...]
    run_id: str
    version: str
    generated_at: str
    valid_until: str


class Target(Protocol):
    """Where published tables live."""

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Write all of PUBLISHED as one version, invisible to readers; batches come in the order of the key.

        Returns the publication with content_hash and counts as stored. `publication.counts` are the rows to expect; a table with
        another number is BadData. Staging the same rows again changes nothing; other rows replace a version that
        was never live and are BadData for one that was.
        """

    def check(self, version: str) -> None:
        """BadData unless the stored version is whole: its rows as read back give its counts and hash."""

    def switch_to(self, version: str, keep: int) -> None:
        """Make a staged or kept version live in one transaction; then drop versions beyond the newest `keep`."""

    def versions(self) -> list[Publication]:
        """All versions, newest first; empty when nothing was ever staged."""

    def read_live(self, name: str, columns: tuple[str, ...] = ()) -> Iterable[pa.RecordBatch]:
        """The rows of the live version of a published table in the order of its key; BadData when nothing is live."""

    def read_user(self, user_id: str) -> Answer | None:
        """A user's list by one indexed query, None for an unknown user; BadData when nothing is live."""

    def read_popular(self, window: str, k: int) -> Answer:
        """The k most popular items, as the answer for a user who is not known."""

    def read_similar(self, item_id: str, k: int) -> SimilarItems | None:
        """The k most similar items by one indexed query, None for an item without neighbours; BadData when nothing is live."""

    def close(self) -> None:
        """Give up connections."""

"""Publish targets: one file each.

A member has `connect(settings: Settings) -> Target`. A version is immutable; what services read are views that
`switch_to` moves in one transaction; until it commits, last night's version is live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Publication:
    """A row of `publications`: one version of all published tables.

    version: made from the run, so a rerun stages the same version again.
    content_hash: over the rows of all tables without version, run and times; equal content has an equal hash.
    state: staged, live, kept (may be rolled back to) or rejected.
    """

    version: str
    run_id: str
    model_version: str
    generated_at: datetime
    valid_until: datetime
    counts: Mapping[str, int]
    content_hash: str
    state: str
    notes: str


class Target(Protocol):
    """Where published tables live."""

    def stage(self, publication: Publication, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> Publication:
        """Write all tables of a version, invisible to readers; staging a version again replaces it.

        Returns the publication with counts and content_hash filled in.
        """

    def check(self, version: str) -> None:
        """BadData unless the staged version is whole: counts, keys, hash."""

    def switch_to(self, version: str, keep: int) -> None:
        """Make a staged or kept version live in one transaction; drop versions beyond the newest `keep`."""

    def versions(self) -> list[Publication]:
        """All versions, newest first."""

    def read_live(self, table: str) -> Iterable[pa.RecordBatch]:
        """The rows of the live version of recommendations, similar_items or popular_items."""

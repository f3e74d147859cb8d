"""Facts about the candidates and the published lists, a part of the report's data."""

from __future__ import annotations

from dataclasses import dataclass

from hybridrec.feedback.figures import FeedbackFigures


@dataclass(frozen=True)
class RetrieverHits:
    """Number of the holdout split's labels that a retriever retrieved, and that only it retrieved."""

    source: str
    n_nominated: int
    n_hits: int
    n_unique_hits: int


@dataclass(frozen=True)
class CandidateCoverage:
    """Share of the holdout split's labels among its candidates."""

    n_labels: int
    n_hits: int
    sources: tuple[RetrieverHits, ...]


@dataclass(frozen=True)
class Exposure:
    """Spread of positions over the catalogue.

    curve: (share of the catalogue, share of the entries), items with the fewest entries first.
    gini: 0 when every item has the same number, near 1 when one item has all. n_for_half: items that together take half of all entries.
    top_1_percent, top_10_percent: share of all entries that the most shown items take.
    """

    name: str
    n_items: int
    n_shown: int
    n_for_half: int
    gini: float
    top_1_percent: float
    top_10_percent: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; len(edges) = len(counts) + 1."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    best_counts: tuple[int, ...]


@dataclass(frozen=True)
class ShownItem:
    """An item in a sample user's list or history."""

    item_id: str
    title: str
    categories: tuple[str, ...] = ()
    score: float | None = None
    reason: str = ""
    sources: str = ""


@dataclass(frozen=True)
class MostShown:
    """The item that is in the most lists, and in how many histories."""

    item_id: str
    title: str
    n_lists: int
    n_histories: int


@dataclass(frozen=True)
class SampleUser:
    """One user with the newest part of the history and the published list."""

    user_id: str
    segment: str
    strategy: str
    how: str
    shortfall: str
    n_history: int
    history: tuple[ShownItem, ...]
    items: tuple[ShownItem, ...]


@dataclass(frozen=True)
class Lists:
    """The published lists in numbers; counts are users by value of the column."""

    n_users: int
    n_places: int
    by_how: dict[str, int]
    by_segment: dict[str, int]
    by_strategy: dict[str, int]
    by_shortfall: dict[str, int]
    most_shown: MostShown | None
    exposures: tuple[Exposure, ...]
    scores: tuple[Histogram, ...]
    samples: tuple[SampleUser, ...]


@dataclass(frozen=True)
class Feedback:
    """Figures of the lists that the look-up has served.

    figures: see hybridrec.feedback.figures. landed: counts of the newest ingest, refused: its events by reason.
    """

    figures: FeedbackFigures
    landed: dict[str, int]
    refused: dict[str, int]


@dataclass(frozen=True)
class SurfaceLists:
    """The lists of a surface in numbers.

    rules: what sets it apart from the night's own list, in words. by_how: users by the origin of their list, without empty lists.
    """

    name: str
    k: int
    rules: tuple[str, ...]
    n_users: int
    n_full: int
    n_places: int
    n_items: int
    n_empty: int
    by_how: dict[str, int]

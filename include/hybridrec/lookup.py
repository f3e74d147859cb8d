"""What a service does with the published tables: one user's list, or the popular items for a user who is not known."""

from __future__ import annotations

from dataclasses import replace

from hybridrec import discover
from hybridrec.settings import Settings
from hybridrec.targets import Answer, Entry, Target

SOURCES_SHOWN = 3


def open_target(settings: Settings) -> Target:
    """The publish target that the settings name."""
    target: Target = discover.member("targets", settings.target).connect(settings)
    return target


def recommend(target: Target, user_id: str, k: int, exclude: frozenset[str] = frozenset()) -> Answer:
    """The user's first k places; the popular items of late, with reason unknown_user, when the user has no row.

    Items to exclude leave their places to the next ones, as far as the published list goes.
    """
    found = target.read_user(user_id)
    if found is None:
        found = replace(target.read_popular("recent", k + len(exclude)), user_id=user_id)
    return replace(found, entries=_without(found.entries, exclude)[:k])


def _without(entries: tuple[Entry, ...], exclude: frozenset[str]) -> tuple[Entry, ...]:
    if not exclude:
        return entries
    kept = (entry for entry in entries if entry.item_id not in exclude)
    return tuple(replace(entry, rank=rank) for rank, entry in enumerate(kept, start=1))


def as_lines(answer: Answer) -> list[str]:
    """The answer as aligned lines for a person."""
    heads = {
        "ranked": f"Recommendations for user {answer.user_id}",
        "filled": f"Recommendations for user {answer.user_id}; the last places are filled from the popular items",
        "fallback": f"User {answer.user_id} has no list of their own yet; these are popular items",
        "unknown_user": f"User {answer.user_id} is not known; these are popular items",
    }
    rows = [("rank", "score", "item", "title", "why", "source")]
    rows += [(str(e.rank), f"{e.score:.3f}", e.item_id, e.title or "(no title)", e.reason, _in_short(e.source)) for e in answer.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    origin = f"run {answer.run_id}, version {answer.version}, made {answer.generated_at}, valid until {answer.valid_until}"
    return [heads[answer.reason], *([answer.shortfall] if answer.shortfall else []), "", *body, "", origin]


def _in_short(source: str) -> str:
    """The first nominating sources, best rank first, and how many more there are: with 17 of them a line would not end."""
    names = source.split("+")
    more = len(names) - SOURCES_SHOWN
    return "+".join(names[:SOURCES_SHOWN]) + (f" and {more} more" if more > 0 else "")

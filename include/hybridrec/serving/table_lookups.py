"""Look up the tables besides the lists: what to buy again, what completes a basket, who should hear of an item, what is on the rise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hybridrec.versions.publications import (
    TABLE_SENTENCES,
    BoughtTogether,
    BuyAgain,
    Entry,
    ItemAudience,
    Reached,
    StoredList,
    Target,
    Trending,
)

NOBODY: frozenset[str] = frozenset()


def buy_again(target: Target, user_id: str, k: int, exclude: frozenset[str] = NOBODY) -> BuyAgain | None:
    """Return the user's first k items to buy again without the excluded ones; None for a user without a row."""
    rows = target.read_lists("buy_again", [user_id])
    if not rows:
        return None
    best = [pair for pair in zip(rows[0].ids, rows[0].scores, strict=True) if pair[0] not in exclude]
    return BuyAgain(*rows[0].origin, user_id=user_id, entries=_entries("buy_again", best[:k], rows))


def bought_together(target: Target, item_ids: Sequence[str], k: int, exclude: frozenset[str] = NOBODY) -> BoughtTogether | None:
    """Return the k items that best complete a basket of some items, by the sum of their rows; None if no row is there.

    An item of the basket is not returned, nor is an excluded one. Ties go by the item's id.
    """
    wanted = list(dict.fromkeys(item_ids))
    rows = target.read_lists("bought_together", wanted)
    if not rows:
        return None
    sums: dict[str, float] = {}
    for row in rows:
        for item, score in zip(row.ids, row.scores, strict=True):
            sums[item] = sums.get(item, 0.0) + score
    best = sorted(((item, score) for item, score in sums.items() if item not in exclude and item not in wanted), key=_best_first)
    unknown = tuple(item for item in wanted if item not in {row.key for row in rows})
    entries = _entries("bought_together", best[:k], rows)
    return BoughtTogether(*rows[0].origin, item_ids=tuple(wanted), unknown=unknown, entries=entries)


def audience(target: Target, item_id: str, k: int, exclude: frozenset[str] = NOBODY) -> ItemAudience | None:
    """Return the first k users of the item's audience without the excluded ones; None for an item without a row."""
    rows = target.read_lists("item_audiences", [item_id])
    if not rows:
        return None
    best = [pair for pair in zip(rows[0].ids, rows[0].scores, strict=True) if pair[0] not in exclude][:k]
    users = tuple(Reached(rank, user, score) for rank, (user, score) in enumerate(best, start=1))
    return ItemAudience(*rows[0].origin, item_id=item_id, users=users)


def trending(target: Target, k: int, exclude: frozenset[str] = NOBODY) -> Trending | None:
    """Return the first k items on the rise without the excluded ones; None if none is."""
    answer = target.read_trending(k + len(exclude))
    if answer is None:
        return None
    entries = [entry for entry in answer.entries if entry.item_id not in exclude][:k]
    return replace(answer, entries=tuple(replace(entry, rank=rank) for rank, entry in enumerate(entries, start=1)))


def as_lines(answer: BuyAgain | BoughtTogether | ItemAudience | Trending) -> list[str]:
    """Return the answer as aligned lines for a person."""
    rows: list[tuple[str, ...]]
    if isinstance(answer, ItemAudience):
        rows = [("rank", "score", "user"), *((str(u.rank), f"{u.score:.3f}", u.user_id) for u in answer.users)]
    else:
        rows = [("rank", "score", "item", "title")]
        rows += [(str(e.rank), f"{e.score:.3f}", e.item_id, e.title or "(no title)") for e in answer.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    origin = f"run {answer.run_id}, version {answer.version}, made {answer.generated_at}, valid until {answer.valid_until}"
    return [_head(answer), "", *body, "", origin]


def _head(answer: BuyAgain | BoughtTogether | ItemAudience | Trending) -> str:
    if isinstance(answer, BuyAgain):
        return f"User {answer.user_id} may buy these again"
    if isinstance(answer, BoughtTogether):
        return f"Bought together with {', '.join(answer.item_ids)}"
    if isinstance(answer, ItemAudience):
        return f"Users who should hear of item {answer.item_id}"
    return f"More popular in the newest {answer.window_days:g} days than before"


def _entries(name: str, best: Iterable[tuple[str, float]], rows: Sequence[StoredList]) -> tuple[Entry, ...]:
    titles = {item: title for row in rows for item, title in row.titles.items()}
    sentence = TABLE_SENTENCES[name]
    return tuple(Entry(rank, item, titles.get(item), score, sentence, name) for rank, (item, score) in enumerate(best, start=1))


def _best_first(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]

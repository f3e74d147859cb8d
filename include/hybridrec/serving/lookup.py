"""Look up the published tables: one user's list, or the popular items for an unknown user."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import cast

from hybridrec.assignment.variants import PLAIN_SURFACE
from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import ANYBODY, DEFAULT_SURFACE
from hybridrec.versions.experiment_states import KeepsExperiments
from hybridrec.versions.publications import Answer, Entry, Reason, ServedAnswer, Target

RETRIEVERS_SHOWN = 3
POPULAR = ("recent", "all_time")  # the tiers below a user's own list
ATTEMPTS = 5
ID_BYTES = 16  # of a recommendation_id


class NoSurface(LookupError):
    """The live version has no surface of that name."""


def open_target(settings: Settings) -> Target:
    """Return the publish target that the settings name."""
    target: Target = extensions.module("targets", settings.target).connect(settings)
    return target


def recommend(target: Target, user_id: str, k: int, exclude: frozenset[str] = frozenset(), surface: str = DEFAULT_SURFACE) -> ServedAnswer:
    """Return the user's first k entries; the popular items of late, with reason unknown_user, when the user has no row.

    Items to exclude leave their positions to the next ones; where the published list ends, popular items take as many entries as it
    has lost. `reason` and each entry's `source` say so, and `shortfall` says it when they are too few. On another surface nothing takes the
    positions of excluded items: popular items may be what the surface must not show this user.
    All of it is of one version; TimeoutError if that changes again and again meanwhile, NoSurface if it has no such surface.
    """
    for _ in range(ATTEMPTS):
        own = _in_effect(target, target.read_user(user_id, surface)) if user_id != ANYBODY else None
        tiers = _tiers(target, own, k, exclude) if surface == DEFAULT_SURFACE else [_on_surface(target, own, surface)]
        if len({(tier.version, tier.generated_at) for tier in tiers}) == 1:
            answer = _joined(tiers, own, k, exclude)
            return replace(answer, user_id=user_id, surface=surface, recommendation_id=secrets.token_hex(ID_BYTES))
    raise TimeoutError("the live version changed again and again during one look-up; ask again")


def _in_effect(target: Target, own: ServedAnswer | None) -> ServedAnswer | None:
    """Return the user's list; the night's own one if it is a variant's whose experiment has gone back since."""
    if own is None or not own.experiment or not hasattr(target, "went_back"):
        return own
    return (target.read_user(own.user_id, PLAIN_SURFACE) or own) if cast(KeepsExperiments, target).went_back(own.experiment) else own


def popular(target: Target, window: str, k: int) -> ServedAnswer:
    """Return the k most popular items of a window."""
    return replace(target.read_popular(window, k), recommendation_id=secrets.token_hex(ID_BYTES))


def with_shortfall(answer: ServedAnswer, k: int) -> ServedAnswer:
    """Return the answer, with a sentence for fewer than k entries if nothing has said yet why."""
    n = len(answer.entries)
    return answer if answer.shortfall or n >= k else replace(answer, shortfall=_too_few(n, k, "the published list has no more"))


def _tiers(target: Target, own: ServedAnswer | None, k: int, exclude: frozenset[str]) -> list[ServedAnswer]:
    """Return the user's list if there is one, and as many windows of popular items as are needed below it."""
    tiers = [] if own is None else [own]
    wanted = _wanted(own, k)
    for window in POPULAR:
        if tiers and len(_entries(tiers, exclude)) >= wanted:
            break
        at_most = wanted + len(exclude) + sum(len(tier.entries) for tier in tiers)
        tiers.append(target.read_popular(window, at_most))
    return tiers


def _on_surface(target: Target, own: ServedAnswer | None, surface: str) -> ServedAnswer:
    """Return the user's list on the surface, or the one for unknown users."""
    if own is not None:
        return own
    anybody = target.read_user(ANYBODY, surface)
    if anybody is None:
        raise NoSurface(f"the live version has no surface {surface!r}; hybridrec.toml names them, as [surfaces.email]")
    return replace(anybody, reason="unknown_user")


def _wanted(own: Answer | None, k: int) -> int:
    """Return the length of an answer: a published list shorter than k is not extended, its rules or catalogue limit it."""
    return k if own is None else min(k, len(own.entries))


def _joined(tiers: list[ServedAnswer], own: ServedAnswer | None, k: int, exclude: frozenset[str]) -> ServedAnswer:
    wanted = _wanted(own, k)
    entries = _entries(tiers, exclude)[:wanted]
    shortfall = tiers[0].shortfall
    if exclude and len(entries) < wanted:
        shortfall = _too_few(len(entries), k, "the others are excluded, and no item is left to take their place")
    n_own = 0 if own is None else len(_entries([own], exclude)[:wanted])
    reason = tiers[0].reason if own is None else _reason(own.reason, n_own, len(entries))
    altered = bool(exclude) and any(entry.item_id in exclude for entry in tiers[0].entries[:wanted])
    drawn = None if altered or tiers[0].slot_probabilities is None else tiers[0].slot_probabilities[: len(entries)]
    return replace(tiers[0], entries=entries, reason=reason, shortfall=shortfall, altered=altered, slot_probabilities=drawn)


def _reason(published: Reason, n_own: int, n_entries: int) -> Reason:
    if n_own == n_entries > 0:
        return published
    return "fallback" if n_own == 0 or published == "fallback" else "filled"


def _too_few(n_found: int, asked: int, why: str) -> str:
    return f"{n_found} of {asked} places: {why}"


def _entries(tiers: list[ServedAnswer], exclude: frozenset[str]) -> tuple[Entry, ...]:
    """Return the tiers one below the other, without excluded and repeated items; ranks count on, scores never rise."""
    if not exclude and len(tiers) == 1:
        return tiers[0].entries
    entries: list[Entry] = []
    taken = set(exclude)
    for tier in tiers:
        kept = [entry for entry in tier.entries if entry.item_id not in taken]
        taken.update(entry.item_id for entry in kept)
        entries += _below(entries[-1].score, kept, tier.entries[0].score) if entries and kept else kept
    return tuple(replace(entry, rank=rank) for rank, entry in enumerate(entries, start=1))


def _below(score: float, entries: list[Entry], top: float) -> list[Entry]:
    """Return entries as far below a score as they lie below the top of their tier, as the night's own fallback has it."""
    return [replace(entry, score=score - 1.0 + (entry.score / top if top > 0 else 0.0)) for entry in entries]


def as_lines(answer: Answer) -> list[str]:
    """Return the answer as aligned lines for a person."""
    heads = {
        "ranked": f"Recommendations for user {answer.user_id}",
        "filled": f"Recommendations for user {answer.user_id}; the last positions are filled from the popular items",
        "fallback": f"User {answer.user_id} has no list of their own yet; these are popular items",
        "unknown_user": f"User {answer.user_id} is not known; these are popular items",
    }
    rows = [("rank", "score", "item", "title", "why", "source")]
    rows += [(str(e.rank), f"{e.score:.3f}", e.item_id, e.title or "(no title)", e.reason, _in_short(e.source)) for e in answer.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if not answer.entries:
        heads[answer.reason] = f"User {answer.user_id} has an empty list"
    origin = f"run {answer.run_id}, version {answer.version}, made {answer.generated_at}, valid until {answer.valid_until}"
    return [heads[answer.reason], *([answer.shortfall] if answer.shortfall else []), "", *body, "", origin]


def _in_short(source: str) -> str:
    """Return the first retrievers, best rank first, and how many more there are: with 17 of them a line would not end."""
    names = source.split("+")
    more = len(names) - RETRIEVERS_SHOWN
    return "+".join(names[:RETRIEVERS_SHOWN]) + (f" and {more} more" if more > 0 else "")

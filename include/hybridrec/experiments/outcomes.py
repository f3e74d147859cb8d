"""Outcomes: what of the feedback is compared, a sum of each user or a ratio of two sums."""

from __future__ import annotations

from typing import NamedTuple

from hybridrec.base.errors import PermanentError


class Outcome(NamedTuple):
    """An outcome. doc: in words. numerator, denominator: columns of model_feedback; "" for each user. events: types that make it."""

    doc: str
    numerator: str
    denominator: str
    events: tuple[str, ...]


CLICKS, REWARDS = ("click", "add_to_cart", "purchase"), ("purchase", "add_to_cart", "click", "rating", "view")
OUTCOMES = {
    "clicks": Outcome("clicks of a user", "clicked", "", CLICKS),
    "reward": Outcome("reward of a user, the weights of what followed", "reward", "", REWARDS),
    "shown": Outcome("entries that a user saw", "shown", "", ("impression", "click")),
    "click_rate": Outcome("clicks for each entry shown", "clicked", "shown", CLICKS),
    "reward_rate": Outcome("reward for each entry shown", "reward", "shown", REWARDS),
}


def require_events(outcome: str, types: frozenset[str], source: str, where: str) -> None:
    """Raise PermanentError if no event of the source can move the outcome: the experiment would end where it began.

    types: those of the source's events and of the feedback that has come in.
    """
    wanted = OUTCOMES[outcome].events
    if not types & set(wanted):
        raise PermanentError(
            f"{where}: the outcome {outcome} has no events: the source {source} has {', '.join(sorted(types)) or 'none'}, and none of"
            f" {', '.join(wanted)}; choose another outcome, or send these events to POST /events first"
        )

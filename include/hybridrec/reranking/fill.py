"""Fill lists that rules left short: nobody gets fewer than k items while the catalogue has an eligible one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridrec.reranking.popular import Ladder
from hybridrec.reranking.rule_chain import Rule, apply_rules
from hybridrec.rules import Kind, RuleContext

OWN = -1  # `rung` of a row that a source nominated
WIDTH = 10  # times k: how far down the ladder to look first; only then at the whole catalogue
MAX_ROWS = 1_000_000  # users x ladder at a time


def first_places(kept: pd.DataFrame, own: pd.DataFrame, ladder: Ladder, context: RuleContext, rules: Sequence[Rule]) -> pd.DataFrame:
    """The k first rows of each user: what rules kept, then other items that every FILTER lets through.

    kept: user_idx, item_idx, score, what all rules left, in order. own: the user's ranked rows before rules.
    Further items come from the user's own rows, then from the ladder, as long as the CAPs allow; where that does not give k, the
    caps give way, and where that does not, the whole catalogue is looked at.
    Returns user_idx, item_idx, score, rung (OWN or a place in RUNGS), by user, best first; scores never rise. A place from
    the ladder scores as far below the user's last own one as it lies below the top of the ladder.
    """
    places = _head(kept.assign(rung=OWN, tier=0), context.k)
    for kinds, depth in (
        ((Kind.FILTER, Kind.CAP), WIDTH * context.k),
        ((Kind.FILTER,), WIDTH * context.k),
        ((Kind.FILTER,), len(ladder.items)),
    ):
        short = _short_users(places, context)
        parts = [places[~places["user_idx"].isin(short)]]
        for users in np.array_split(short, max(1, -(-len(short) * depth // MAX_ROWS))) if len(short) else ():
            parts.append(_extended(users, places, own, _steps(ladder, depth), context, rules, kinds))
        places = pd.concat(parts, ignore_index=True)
    return _with_falling_scores(places.sort_values(["user_idx", "tier", "place"], ignore_index=True))


def _short_users(places: pd.DataFrame, context: RuleContext) -> NDArray[np.int32]:
    counts = np.bincount(np.searchsorted(context.users, places["user_idx"].to_numpy()), minlength=len(context.users))
    return np.asarray(context.users[counts < context.k])


def _steps(ladder: Ladder, depth: int) -> Ladder:
    return Ladder(ladder.items[:depth], ladder.rungs[:depth], ladder.scores[:depth])


def _extended(
    users: NDArray[np.int32],
    places: pd.DataFrame,
    own: pd.DataFrame,
    ladder: Ladder,
    context: RuleContext,
    rules: Sequence[Rule],
    kinds: Sequence[Kind],
) -> pd.DataFrame:
    """The first k places of short users, chosen among what they have, their own rows and the ladder."""
    n_steps = len(ladder.items)
    steps = pd.DataFrame(
        {
            "user_idx": np.repeat(users, n_steps),
            "item_idx": np.tile(ladder.items, len(users)),
            "score": np.tile(ladder.scores, len(users)),
            "rung": np.tile(ladder.rungs, len(users)).astype(np.int64),
            "tier": 2,
        }
    )
    mine = own[own["user_idx"].isin(users)]
    pool = pd.concat([places[places["user_idx"].isin(users)], mine.assign(rung=OWN, tier=1), steps], ignore_index=True)
    pool = pool.drop(columns="place").sort_values(["user_idx", "tier"], kind="stable", ignore_index=True)
    pool = pool.drop_duplicates(["user_idx", "item_idx"], ignore_index=True)
    # FILTER and CAP leave scores alone, so a row's number can travel as its score
    numbered = pool[["user_idx", "item_idx"]].assign(score=-np.arange(len(pool), dtype=np.float64))
    left = apply_rules(numbered, context, rules, kinds)
    return _head(pool.iloc[(-left["score"].to_numpy()).astype(np.int64)], context.k)


def _head(rows: pd.DataFrame, k: int) -> pd.DataFrame:
    place = rows.groupby("user_idx").cumcount()
    return rows.assign(place=place).take(np.flatnonzero(place.to_numpy() < k))


def _with_falling_scores(places: pd.DataFrame) -> pd.DataFrame:
    from_ladder = places["rung"].to_numpy() != OWN
    own_scores = places["score"].where(~from_ladder)
    lowest = own_scores.groupby(places["user_idx"]).transform("min").fillna(1.0).to_numpy()
    scores = pd.Series(np.where(from_ladder, lowest - (1.0 - places["score"].to_numpy()), places["score"].to_numpy()))
    falling = scores.groupby(places["user_idx"]).cummin()
    return places.assign(score=falling)[["user_idx", "item_idx", "score", "rung"]]

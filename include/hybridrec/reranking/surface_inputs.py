"""Input of the lists of a surface: the night's, with the surface's length, rules and filters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.base.surfaces import Surface
from hybridrec.reranking.inputs import ListInputs
from hybridrec.reranking.popular import FallbackTiers
from hybridrec.reranking.rule_chain import Rule, active_rules
from hybridrec.retrieval.sparse import in_history
from hybridrec.rules import Kind, RuleContext

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def surface_inputs(inputs: ListInputs, name: str) -> ListInputs:
    """Return the inputs for lists of a surface of the run's options.

    Popular items fill its lists too, those that its categories allow; none where a list holds items of the user's history only.
    """
    config = inputs.run.config.on_surface(name)
    surface = config.surfaces[name]
    allowed = allowed_items(inputs.items, surface)
    rules = (rule for rule in active_rules(config) if rule.name not in surface.without_rules)
    fills = allowed & (surface.history != "again")
    return replace(
        inputs,
        surface_k=config.k,
        rules=(*rules, _filter(name, surface, allowed)),
        fallback=_only(inputs.fallback, fills),
        no_more=f"the surface {name} allows no other available item for this user",
        slots=None,
    )


def allowed_items(items: pd.DataFrame, surface: Surface) -> NDArray[np.bool_]:
    """Return whether the surface's categories allow each item, bool (n_items,). items: with `categories`, a list each."""
    wanted, unwanted = set(surface.only_categories), set(surface.not_categories)
    if not wanted and not unwanted:
        return np.ones(len(items), dtype=bool)
    categories = [set(names) for names in items["categories"]]
    return np.array([bool(not wanted or names & wanted) and not names & unwanted for names in categories], dtype=bool)


def outside_history(surface: Surface, context: RuleContext, rows: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return whether the surface's purpose of history allows each pair. rows: of the user in the context."""
    if surface.history == "night":
        return np.ones(len(items), dtype=bool)
    return np.asarray(in_history(context.seen, rows, items) == (surface.history == "again"))


def _filter(name: str, surface: Surface, allowed: NDArray[np.bool_]) -> Rule:
    def apply(ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
        items = ranked["item_idx"].to_numpy()
        rows = np.searchsorted(context.users, ranked["user_idx"].to_numpy())
        return ranked.take(np.flatnonzero(allowed[items] & outside_history(surface, context, rows, items)))

    return Rule(f"surface {name}", Kind.FILTER, apply)


def _only(tiers: FallbackTiers, allowed: NDArray[np.bool_]) -> FallbackTiers:
    kept = allowed[tiers.items]
    return FallbackTiers(tiers.items[kept], tiers.tiers[kept], tiers.scores[kept])

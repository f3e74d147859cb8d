"""Input of every block of users for its lists; made once per run, loaded once per partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import in_threads
from hybridrec.dataset.content import SimilarContent, item_vectors
from hybridrec.exploration.draws import Draws, load_draws
from hybridrec.reranking.popular import FallbackTiers, fallback_tiers, popularity
from hybridrec.reranking.rule_chain import Rule, active_rules
from hybridrec.reranking.similar import PREFERRED
from hybridrec.reranking.slots import Slots
from hybridrec.retrieval.select import empty_lists
from hybridrec.retrieval.sparse import load_csr, save_csr
from hybridrec.rules import RuleContext
from hybridrec.runs.run import Run
from hybridrec.splitting.likes import disliked, disliked_by_most
from hybridrec.storage import shared_files, store
from hybridrec.training.fits import load_fit, user_block
from hybridrec.types import NO_ITEM, Ints, KnowsSimilarItems, Neighbours

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 50  # per item: enough that an available one is among them, and that a history item is among a list's
BLOCK_ITEMS = 4_096
CONTENT_FOR_ALL = 20_000  # items; in a larger catalogue content is used only if others give too few


@dataclass(frozen=True)
class ListInputs:
    """See the module.

    neighbours: by model, int32 (n_items, NEIGHBOURS), nearest first, NO_ITEM pads.
    surface_k: items per list of a surface; 0: as many as the night's own has. no_more: why a list may have fewer.
    draws: the users' arms, None without a bandit. slots: where items are drawn by chance, None if nowhere.
    """

    run: Run
    items: pd.DataFrame
    content: Path
    neighbours: dict[str, Ints]
    fallback: FallbackTiers
    rules: tuple[Rule, ...]
    surface_k: int = 0
    no_more: str = "the catalogue has no other available item that this user has not had and no rule excludes"
    draws: Draws | None = None
    slots: Slots | None = None

    @property
    def k(self) -> int:
        """Return the length of a full list."""
        return self.surface_k or self.run.config.k

    def context(self, users: Ints) -> RuleContext:
        """Return the input of rules for these users, which are sorted."""
        block = user_block(self.run, "full", users)
        unwanted = disliked(self.run, "full", users)
        return RuleContext(self.items, block.history, users, self._vectors(), self.k, self.run.manifest.as_of, unwanted, block.had)

    def context_of_anybody(self) -> RuleContext:
        """Return the input of rules for one user without a history, number 0."""
        nothing = csr_array(np.zeros((1, len(self.items)), np.float32))
        return RuleContext(self.items, nothing, np.zeros(1, np.int32), self._vectors(), self.k, self.run.manifest.as_of)

    def _vectors(self) -> csr_array:
        return load_csr(self.content, "vectors")


def write_inputs(run: Run, folder: Path) -> dict[str, Neighbours]:
    """Put the item vectors and the neighbours of all models that know similar items into the folder.

    Returns those that out_similar_items is made of: of a large catalogue one model's neighbours are some hundred MB.
    """
    items = read_items(run)
    content = SimilarContent(item_vectors(items))
    save_csr(content.vectors, folder, "vectors")
    everything = np.arange(len(items), dtype=np.int32)
    full, neighbours_by_model = np.zeros(len(items), dtype=bool), {}
    for name, model in _models_with_similar(run):
        neighbours = _neighbours(model, everything, len(items), run.settings.threads)
        np.save(folder / f"neighbours.{name}.npy", neighbours.items, allow_pickle=False)
        full |= neighbours.items[:, -1] != NO_ITEM
        if name in PREFERRED:
            neighbours_by_model[name] = neighbours
    alone = everything[~full] if len(items) > CONTENT_FOR_ALL else everything
    alone = alone[np.argsort(content.terms.group_of[alone], kind="stable")]  # a block asks once for items that say the same
    neighbours_by_model["content"] = _neighbours(content, alone, len(items), run.settings.threads)
    np.save(folder / "neighbours.content.npy", neighbours_by_model["content"].items, allow_pickle=False)
    return neighbours_by_model


def _neighbours(model: KnowsSimilarItems, wanted: Ints, n_items: int, threads: int) -> Neighbours:
    """Return NEIGHBOURS of each wanted item, (n_items, NEIGHBOURS); padding for the others."""
    nearest = empty_lists(n_items, NEIGHBOURS)

    def fill(at: int) -> None:
        block = wanted[at : at + BLOCK_ITEMS]
        nearest.items[block], nearest.scores[block] = model.similar(block, NEIGHBOURS)

    in_threads(fill, range(0, len(wanted), BLOCK_ITEMS), threads)
    return nearest


def load_inputs(run: Run, folder: Path) -> ListInputs:
    """Return the inputs that write_inputs left in the folder, on whichever machine."""
    shared_files.fetch_folder(folder)
    items = read_items(run)
    counts = popularity(run.read("model_item_features", "full"), len(items))
    neighbours = {
        path.name.split(".")[1]: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("neighbours.*.npy"))
    }
    steps = fallback_tiers(counts, items["is_available"].to_numpy(dtype=bool))
    rules, slots = tuple(active_rules(run.config)), _slots(run)
    return ListInputs(run, items, folder, neighbours, steps, rules, draws=load_draws(run), slots=slots)


def _slots(run: Run) -> Slots | None:
    positions = tuple(sorted(position - 1 for position in run.config.exploration.positions))
    return Slots(positions, (run.config.exploration.salt, run.manifest.as_of.isoformat())).within(run.config.k)


def read_items(run: Run) -> pd.DataFrame:
    """Return model_items by item_idx with item_age_days, as RuleContext describes it; items that most users disliked are not available."""
    items: pd.DataFrame = run.read("model_items").sort_by("item_idx").to_pandas()
    features = run.read("model_item_features", "full", ["item_idx", "item_age_days"])
    age: NDArray[np.float64] = np.full(len(items), np.nan)
    age[features["item_idx"].to_numpy()] = features["item_age_days"].to_numpy()
    since_release = (run.manifest.as_of - items["released_at"]).dt.total_seconds() / 86_400
    available = items["is_available"].to_numpy(dtype=bool) & ~disliked_by_most(run)
    return items.assign(item_age_days=np.where(since_release.isna(), age, since_release), is_available=available)


def _models_with_similar(run: Run) -> Iterator[tuple[str, KnowsSimilarItems]]:
    for name in run.manifest.models:
        folder = run.dataset(f"models/{name}", "full")
        if store.is_committed(folder):
            model = load_fit(name, store.committed_folder(folder))
            if isinstance(model, KnowsSimilarItems):
                yield name, model

"""Rank the users of a variant by its strategy, from the night's candidates: nothing is fitted again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridrec import strategies
from hybridrec.base.config import stored_config
from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import ItemColumns, build_candidates, load_items
from hybridrec.policy.boost import Boosted, read_boost
from hybridrec.policy.policy import DECISION, RUN, STRATEGIES, Choice, Policy, read_choices
from hybridrec.policy.ranked_lists import Ranking, rank_candidate_set, user_blocks
from hybridrec.storage import shared_files

if TYPE_CHECKING:
    import pyarrow as pa

REASON = "the variant of an experiment"


def strategy_policy(folder: Path, name: str) -> Policy:
    """Return the policy in a folder with one strategy for all segments; PermanentError if it learns and was not fitted."""
    if strategies.learns(name) and not (folder / STRATEGIES / name).is_dir():
        there = sorted(path.name for path in (folder / STRATEGIES).glob("*"))
        raise PermanentError(
            f"a variant is ranked by the strategy {name}, which the published policy has not fitted; choose one that does not learn, or"
            f" from {', '.join(there) or 'none'}"
        )
    config = stored_config(json.loads((folder / RUN).read_text())["config"])
    choices = dict.fromkeys(read_choices(folder / DECISION), Choice("strategy", name, REASON))
    return Policy(choices, {name: strategies.load(name, config, folder / STRATEGIES / name)}, config.light_max_items)


def rank_variant_files(files: Iterable[str], ranking: Ranking, strategy: str, users: Path) -> Iterator[pa.RecordBatch]:
    """Yield model_variant_ranked from files of model_candidates, each sorted by user and with all rows of its users.

    users: file of a bool array (n_users,), whom the strategy ranks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    items, policy = _prepared(ranking, strategy)
    [local] = shared_files.fetch([users])
    wanted = np.load(local, mmap_mode="r", allow_pickle=False)
    for file in shared_files.fetch(map(Path, files)):
        with pq.ParquetFile(file) as opened:
            for block in user_blocks(opened.iter_batches()):
                part = block.filter(pa.array(wanted[block["user_idx"].to_numpy()]))
                if part.num_rows:
                    ranked = rank_candidate_set(build_candidates(part, ranking.files, items), policy, ranking.depth)
                    yield from ranked.combine_chunks().to_batches()


@lru_cache(maxsize=1)
def _prepared(ranking: Ranking, strategy: str) -> tuple[ItemColumns, Policy]:
    shared_files.fetch(Path(file) for file in ranking.files.paths)
    policy = strategy_policy(shared_files.fetch_folder(ranking.policy), strategy)
    return load_items(ranking.files), policy if ranking.boost is None else Boosted(policy, read_boost(ranking.boost))

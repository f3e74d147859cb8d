"""Content models' predictions as input features of a model over the collaborative scores.

If a collaborative retriever has no score, the content models' prediction replaces it, as in content-boosted collaborative filtering. It is
added once more for users and items with few events, so that content may count more there. Its weight is learnt from the label window.

Melville, Mooney and Nagarajan 2002, Content-boosted collaborative filtering for improved recommendations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.ranking.linear import Inputs, LinearCorrection
from hybridrec.ranking.weight_learner import FitOptions
from hybridrec.strategies.weighted import blend, named_retrievers

DOC = "Content models' predictions as input features of a learnt model over the collaborative scores."
KNOWN = {"of_light_users": "user_log_n_items", "of_rare_items": "item_log_n_users"}  # columns of log(1 + n)


@dataclass(frozen=True)
class Config(FitOptions):
    """Options.

    content: the content models, separated by commas; all others are collaborative.

    The other options are those of FitOptions.
    """

    content: str = "content_attributes,content_text"


class Strategy(LinearCorrection[Config]):
    """See the module; without a content model in the candidates, it learns from the other retrievers alone."""

    def inputs(self, candidates: CandidateSet) -> Inputs:
        """Return the blend; collaborative z-scores, filled up; the content prediction, plain and for users and items with few events."""
        plain = blend(candidates, dict.fromkeys(candidates.retrievers, 1.0))
        content = named_retrievers(self.config.content, candidates)
        others = [retriever for retriever in candidates.retrievers if retriever not in content]
        if not content:
            return Inputs(plain, {retriever: candidates.features[f"z_{retriever}"] for retriever in others})
        predicted = blend(candidates, dict.fromkeys(content, 1.0))
        columns = {retriever: _filled(candidates.features[f"z_{retriever}"], predicted) for retriever in others}
        return Inputs(plain, columns | {"content": predicted} | _where_little_is_known(candidates, predicted))


def _filled(scores: Floats, predicted: Floats) -> Floats:
    return np.where(np.isnan(scores), predicted, scores).astype(np.float32)


def _where_little_is_known(candidates: CandidateSet, predicted: Floats) -> dict[str, Floats]:
    """Return the prediction over 1 + log(1 + n), n items of the user or users of the item: whole at none, a fifth at fifty."""
    known = {name: candidates.features[column] for name, column in KNOWN.items() if column in candidates.features}
    return {f"content_{name}": (predicted / (1 + np.nan_to_num(n))).astype(np.float32) for name, n in known.items()}

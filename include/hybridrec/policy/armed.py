"""A policy with arms: users who have drawn one get its list, the others their segment's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridrec import strategies
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows
from hybridrec.exploration.draws import NO_ARM, Draws, read_draws
from hybridrec.policy.policy import Choice, Policy, load_policy


class ArmedPolicy(Policy):
    """See the module."""

    def __init__(self, choices: dict[str, Choice], ready: dict[str, strategies.Strategy], light_max_items: int, draws: Draws) -> None:
        super().__init__(choices, ready, light_max_items)
        self._draws = draws

    def list_names(self, candidates: CandidateSet) -> NDArray[np.str_]:
        """Return the name of each user's list, (n_users,): an arm's where the user has one."""
        names, of_user = super().list_names(candidates), self._arms(candidates)
        for number, arm in enumerate(self._draws.arms):
            names[of_user == number] = arm.list_name
        return names

    def score(self, candidates: CandidateSet) -> Floats:
        """Return float32 (n_rows,), higher is better; NaN: not in the user's list."""
        of_user = self._arms(candidates)
        of_rows = np.repeat(of_user, np.diff(candidates.starts))
        scores = np.full(len(candidates.items), np.nan, dtype=np.float32)
        for number in np.unique(of_user):
            part = candidates.rows_of(candidates.users[of_user == number])
            own = super().score(part) if number == NO_ARM else self._draws.arms[number].scores(part, self.score_strategy)
            scores[of_rows == number] = own
        return scores

    def top_features(self, candidates: CandidateSet, rows: Rows) -> list[list[str]]:
        """List what moved each row's score most; empty for the arms' lists, whose scores are other ones than the segment's list gives."""
        of_rows = np.repeat(self._arms(candidates), np.diff(candidates.starts))[rows]
        plain = np.flatnonzero(of_rows == NO_ARM)
        named: list[list[str]] = [[] for _ in rows]
        for at, names in zip(plain, super().top_features(candidates, rows[plain]), strict=True):
            named[at] = names
        return named

    def _arms(self, candidates: CandidateSet) -> NDArray[np.int8]:
        return np.asarray(self._draws.of_user[candidates.users], dtype=np.int8)


def load_with_arms(folder: Path, draws_folder: Path) -> Policy:
    """Return the policy in a folder with the draws of a run."""
    draws = read_draws(draws_folder)
    policy = load_policy(folder, tuple(arm.strategy for arm in draws.arms if arm.strategy))
    return ArmedPolicy(policy.choices, policy.ready, policy.light_max_items, draws)

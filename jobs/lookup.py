"""Print what a service would show a user: titles, scores and reasons, from the live published tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.serving import lookup


@dataclass(frozen=True)
class Params:
    user_id: str
    k: int = 20


def main(params: Params) -> None:
    if params.k < 1:
        raise PermanentError(f"k is {params.k}, expected 1 or more")
    answer = lookup.recommend(lookup.open_target(Settings.from_env()), params.user_id, params.k)
    sys.stdout.write("\n".join(lookup.as_lines(answer)) + "\n")


if __name__ == "__main__":
    job.start(main, Params)

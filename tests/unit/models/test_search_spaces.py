"""Every model that says what is worth a search says it so that a search works."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from hybridrec.base import extensions
from hybridrec.candidates.candidate_blocks import retrieves
from hybridrec.training.fits import config_of
from hybridrec.tuning import search_space
from hybridrec.types import Linear, Log, OneOf
from tests.support.checkerboard import block, checkerboard

SEARCHED = [name for name in extensions.names("models") if search_space(name)]
QUICK = {"iterations": 2, "epochs": 2}  # what is learnt does not matter here


def ends(of: Log | Linear | OneOf, default: object) -> tuple[Any, Any]:
    if isinstance(of, OneOf):
        return of.values[0], of.values[-1]
    return (int(of.low), int(of.high)) if isinstance(default, int) else (of.low, of.high)


@pytest.mark.parametrize("name", SEARCHED)
def test_is_a_space_around_the_defaults(name: str) -> None:
    defaults = asdict(extensions.module("models", name).Config())
    assert retrieves(name), "a model without lists cannot be judged by them"
    for option, of in search_space(name).items():
        default = defaults[option]
        if isinstance(of, OneOf):
            assert default in of.values and len(set(of.values)) == len(of.values) > 1
            assert {type(value) for value in of.values} == {type(default)}
        else:
            assert of.low <= default <= of.high and of.low < of.high and not isinstance(default, bool | str)
            assert of.low > 0 or not isinstance(of, Log)
            assert not isinstance(default, int) or (of.low == int(of.low) and of.high == int(of.high))


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("name", SEARCHED)
def test_fits_at_both_ends(name: str, end: int) -> None:
    module, space = extensions.module("models", name), search_space(name)
    defaults = asdict(module.Config())
    options = {option: ends(of, defaults[option])[end] for option, of in space.items()}
    quick = {option: value for option, value in QUICK.items() if option in defaults and option not in space}
    model = module.Model(config_of(name, quick | options))
    model.fit(checkerboard())
    scores = model.top_k(block(checkerboard(), np.arange(5)), 5).scores
    assert not np.isnan(scores).any() and not np.isposinf(scores).any()

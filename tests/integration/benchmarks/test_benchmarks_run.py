"""The benchmarks of the product's own steps run on small data and end with their claims."""

from __future__ import annotations

import pytest

from tests.support.small_benchmarks import QUICK, claims


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_and_ends_with_its_claims(name: str) -> None:
    assert claims(name, *QUICK[name])

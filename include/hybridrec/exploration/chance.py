"""Numbers that look random and follow from names: a rerun draws the same, another salt draws others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from hybridrec.types import Doubles

KEY_LETTERS = 16  # what SipHash takes


def uniforms(names: Iterable[str], *salts: str) -> Doubles:
    """Return a number from 0 to below 1 for each name, float64 (n_names,). Other salts give other, independent numbers.

    SipHash (Aumasson and Bernstein 2012) over the names, with a key of the salts: no loop over a million users in Python.
    """
    from pandas.util import hash_array

    key = hashlib.sha256("\0".join(salts).encode()).hexdigest()[:KEY_LETTERS]
    hashed = hash_array(np.array(list(names), dtype=object), hash_key=key, categorize=False)
    return np.asarray((hashed >> np.uint64(11)).astype(np.float64) / 2.0**53, dtype=np.float64)

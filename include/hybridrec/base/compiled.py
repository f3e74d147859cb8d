"""Loops that numba compiles. Imported inside functions only: listing the models must not cost an import of numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Return the function as machine code that releases the GIL, kept on disk beside its source (or under NUMBA_CACHE_DIR)."""
    return cast(F, njit(nogil=True, cache=True)(function))

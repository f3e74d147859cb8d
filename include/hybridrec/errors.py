"""The two ways a job can fail: for good, or for now."""

from __future__ import annotations


class BadData(Exception):
    """The input is wrong, so a retry would fail again: exit code 3, never retried.

    The message says which table or parameter, how many rows, what was expected and what to do.
    """


class Leak(Exception):
    """A leak alarm went off: something past a fold's cut reached training or scoring. The night must not go on."""

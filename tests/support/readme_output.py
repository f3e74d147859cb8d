"""The output blocks of the README, and the comparison of printed output with them."""

from __future__ import annotations

import re

from tests.support import ROOT

VARYING = (  # in this order: ids and paths hold numbers
    (r"\S*/report\\\.html|\bmanual_\w+|\b[0-9a-f]{16}\b|http://\S+", r"\\S+"),
    (r"[a-z_]+(?:\\\+[a-z_]+)+(?:\\ and\\ \d+\\ more)?", r"[a-z_+]+(?: and \\d+ more)?"),
    (r"\d+(?:(?:\\\.|,)\d+)*", r"\\d+(?:[.,]\\d+)*"),
    (r"(?:\\ )+", " +"),
)


def blocks() -> dict[str, list[str]]:
    """Read the output blocks by the command that the comment above each names."""
    found = re.findall(r"<!-- output of: (.+?) -->\n```text\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return {command: text.splitlines() for command, text in found}


def require_same(expected: list[str], printed: list[str]) -> None:
    """Fail at the first line that was not printed in its turn; numbers, ids and paths may differ, `...` stands for any lines."""
    rest = iter(printed)
    for line in expected:
        if line.strip() in {"", "..."}:
            continue
        pattern = re.escape(line.strip())
        for part, wild in VARYING:
            pattern = re.sub(part, wild, pattern)
        assert any(re.fullmatch(pattern, one.strip()) for one in rest), f"the README shows {line!r}, which was not printed in its turn"

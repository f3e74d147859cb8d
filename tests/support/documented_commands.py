"""The commands that a page shows, with the output that it shows for each.

A page shows commands in fenced blocks marked `sh` or `console`, or in indented ones. In a `console` block, and in a `text` block that
begins with one, a command begins with `$ ` and its output follows it. After a block of another kind a block marked `text` is the output
of its last command. In an output `...` stands for any text, and a line of it for any number of lines. Numbers, times, ids and the width
of columns may differ from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMAND_WORDS = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make|curl|docker|git|pip|python3?|sqlite3|psql|\S*/python3?) ")
LEFT_OUT = "..."
# Two runs differ in these: times and dates, ids, numbers.
VARIABLE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T_ ]\d\d:?\d\d(?::?\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)?"
    r"|(?<![0-9A-Za-z])[0-9a-f]{8,}(?![0-9A-Za-z])|[+-]?(?:\d[\d,]*)?\.?\d+"
)
OWN_PATH = re.compile(r"\S*/(?=var/)")  # of the home on this machine
SHELL = ("sh", "bash", "shell")


@dataclass(frozen=True)
class Command:
    """A command line, or several that belong together, and the output that the page shows; None if it shows none."""

    line: str
    output: str | None = None


@dataclass(frozen=True)
class Block:
    """A block of a page. language: what it is marked with; empty for an indented one. text: without marks and indentation."""

    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield all blocks in their order."""
    for part in re.split(r"(^```\w*\n.*?^```$)", page, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            language, text = part.removesuffix("```")[3:].split("\n", maxsplit=1)
            yield Block(language or "text", text)
            continue
        for indented in re.findall(r"(?:^ {4}\S.*\n(?:^(?: {4}.*)?\n(?=(?:^\n)* {4}))*)+", part, flags=re.MULTILINE):
            yield Block("", re.sub(r"^ {4}", "", indented, flags=re.MULTILINE))


def code(page: Path, language: str) -> list[str]:
    """Return the blocks that are marked with a language; for `sql` the indented ones that begin with SELECT too."""
    found = blocks(page.read_text())
    return [block.text for block in found if block.language == language or (language == "sql" and block.text.startswith("SELECT "))]


def commands(page: Path) -> list[Command]:
    """Return all commands of a page in their order."""
    found: list[Command] = []
    before = Block("text", "")
    for block in blocks(page.read_text()):
        is_shell = block.language in SHELL or (not block.language and COMMAND_WORDS.match(block.text))
        if block.language == "console" or (block.language == "text" and block.text.startswith("$ ")):
            found += _session(block.text)
        elif is_shell:
            found += [Command(line) for line in _lines(block.text)]
        elif block.language in ("text", "output") and found and _lines(before.text)[-1:] == [found[-1].line]:
            found[-1] = Command(found[-1].line, block.text)
        before = block
    return found


def _lines(text: str) -> list[str]:
    """Return command lines without comments; a line that ends in a backslash goes on in the next one."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line for line in (re.sub(r"(^|\s+)# .*", "", row).strip() for row in joined.splitlines()) if line]


def _session(text: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *output = re.sub(r"\s*\\\n\s*", " ", part).split("\n", maxsplit=1)
        told = output[0] if output else ""
        yield Command(_lines(first)[0], told if told.strip() else None)


def difference(expected: str, got: str) -> str:
    """Return the difference between an output and the one that the page shows; empty if only numbers, times and ids differ."""
    pattern = re.escape(steady(expected)).replace(re.escape(f"\n{LEFT_OUT}\n"), r"\n(?:.*\n)*?").replace(re.escape(LEFT_OUT), ".*?")
    if re.fullmatch(pattern, steady(got), flags=re.DOTALL if expected.strip().endswith(LEFT_OUT) else 0):
        return ""
    return f"the page shows\n{expected}\nbut the command printed\n{got}"


def steady(text: str) -> str:
    """Return the text with one sign for each number, time and id, and one space between words."""
    rows = [" ".join(VARIABLE.sub("#", OWN_PATH.sub("", row)).split()) for row in text.strip().splitlines()]
    return "\n".join(row for row in rows if row) + "\n"

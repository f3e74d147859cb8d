"""Files as other people deliver them, read block by block: found, opened, decoded, cut into records, with a sentence for each fault.

A message names file, line, column and remedy. It never quotes what stands in a file, since a delivery may be private or a
link to something that is: of names only those that were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hybridrec.tables import Table


@dataclass(frozen=True)
class Wanted:
    """Requirements for a file.

    definition: the table whose columns are taken. required: columns without which the file is refused.
    folders: values that stand in the names of its folders, as `event_type=view`.
    """

    definition: Table
    required: tuple[str, ...]
    folders: dict[str, str | None] = field(default_factory=dict)


def printable(name: str) -> str:
    """Return a file's name for messages and tables: bytes that are no UTF-8 and control characters become U+FFFD."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)

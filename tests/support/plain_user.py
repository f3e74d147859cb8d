"""To be refused by the file system, which never refuses root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_a_plain_user(folder: Path) -> Iterator[None]:
    """Be another user while the block lasts, who may enter the folder; without root rights the user stays the same."""
    if os.geteuid() != 0:
        yield
        return
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == 0 and Path("/tmp") in parent.parents:
            parent.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)

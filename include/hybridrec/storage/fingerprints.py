"""Short texts that are equal where a result would be: of the code, and of all that a table follows from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hybridrec.storage import store


def code_version() -> str:
    """Return SHA-256 of the library's and the jobs' source text, shortened; needs no version control at run time."""
    library = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for folder in (library, Path.cwd() / "jobs"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder.parent).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def fingerprint(**facts: object) -> str:
    """Return SHA-256 of named facts and of the code that makes something of them."""
    return hashlib.sha256(store.as_json(facts | {"code": code_version()}).encode()).hexdigest()

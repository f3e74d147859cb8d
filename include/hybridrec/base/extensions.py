"""Extensions: what lies in an extension folder, found by file name.

models, strategies, rules, sources, targets, tables, bandits, estimators and objectives are packages whose every public module is an
extension; the file name is the extension's name everywhere. HYBRIDREC_EXTENSIONS may name further folders of the same layout
(`<folder>/models/als2.py`), so an extension can be added without touching this package.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from hybridrec.base.errors import PermanentError, choices
from hybridrec.base.settings import Settings

Batch = TypeVar("Batch")
PACKAGE = "hybridrec"
LIBRARY = Path(__file__).parents[1]
VARIABLES = ("HYBRIDREC_EXTENSIONS", "HYBRIDREC_SKIP")
FOLDERS = ("tables", "sources", "models", "strategies", "rules", "targets", "bandits", "estimators", "objectives")


def names(folder: str) -> tuple[str, ...]:
    """List the names of the extensions in a folder, sorted, without those that Settings.skip switches off."""
    skip = Settings.from_env().skip
    return tuple(name for name in all_names(folder) if f"{folder}.{name}" not in skip)


def all_names(folder: str) -> tuple[str, ...]:
    """List the names of the extensions in a folder, sorted, with those that are switched off."""
    return tuple(sorted({path.stem for root in _roots() for path in (root / folder).glob("*.py") if path.stem[0] != "_"}))


def require_known_skips() -> None:
    """Raise PermanentError if HYBRIDREC_SKIP names an unknown extension, which would silently switch nothing off."""
    for entry in sorted(Settings.from_env().skip):
        folder, _, name = entry.partition(".")
        if folder not in FOLDERS:
            raise PermanentError(f"HYBRIDREC_SKIP: {entry!r} names no extension folder, as models.als does; {choices(folder, FOLDERS)}")
        if name not in (known := all_names(folder)):
            raise PermanentError(
                f"HYBRIDREC_SKIP: there is no {entry!r}; {choices(entry, [f'{folder}.{extension}' for extension in known])}"
            )


def module(folder: str, name: str) -> ModuleType:
    """Return the module of one extension; PermanentError names the choices when there is none of that name."""
    if name not in names(folder):
        raise PermanentError(f"{folder}: there is no {name!r}; choose from {', '.join(names(folder))}")
    builtin = LIBRARY / folder / f"{name}.py"
    if builtin.exists():
        return importlib.import_module(f"{PACKAGE}.{folder}.{name}")
    return _load_extension(folder, name)


def modules(folder: str) -> dict[str, ModuleType]:
    """Return all extensions in a folder by name."""
    return {name: module(folder, name) for name in names(folder)}


def with_local_extensions(of_batches: Callable[[Iterator[Batch]], Iterator[Batch]]) -> Callable[[Iterator[Batch]], Iterator[Batch]]:
    """Return the function for Spark's workers, whose environment may be another's: they find the extensions that this process finds."""
    here = {name: os.environ.get(name, "") for name in VARIABLES}

    def with_them(batches: Iterator[Batch]) -> Iterator[Batch]:
        os.environ.update(here)
        yield from of_batches(batches)

    return with_them


def _roots() -> list[Path]:
    extensions = os.environ.get("HYBRIDREC_EXTENSIONS", "")
    return [LIBRARY, *(Path(part) for part in extensions.split(os.pathsep) if part)]


def _load_extension(folder: str, name: str) -> ModuleType:
    qualified = f"{PACKAGE}.{folder}.{name}"
    if qualified in sys.modules:
        return sys.modules[qualified]
    path = next(root / folder / f"{name}.py" for root in _roots() if (root / folder / f"{name}.py").exists())
    spec = importlib.util.spec_from_file_location(qualified, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = loaded
    spec.loader.exec_module(loaded)
    return loaded

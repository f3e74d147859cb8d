"""Write docs/models.md from the files in models/ and strategies/: `python -m docs.generate_models`, or `make docs`."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import ModuleType

from docs.generate_options import shown
from hybridrec.base import extensions
from hybridrec.candidates.candidate_blocks import retrieves

PAGE = Path(__file__).parent / "models.md"
NAME = r"(?:de |van |von )?[A-Z][\w'-]+"
AUTHORS = rf"{NAME}(?:(?:, | and |, and ){NAME})*(?: et al\.)?"
PAPERS = (
    rf'{AUTHORS},? "[^"]+", (?:[\w\' &-]+, )*[\w\' &-]*\d{{4}}',  # Rendle, "Factorization machines", ICDM 2010
    rf"{AUTHORS}, \w+ \d{{4}}",  # Deshpande and Karypis, TOIS 2004
    rf"{AUTHORS} \d{{4}}, [^;,.]+",  # Burke 2002, Hybrid recommender systems: survey and experiments
)
INTRODUCTION = """\
# Models and strategies

Generated from `include/hybridrec/models/` and `include/hybridrec/strategies/` by `make docs`; change the files, not this page.
Options are shown with their defaults; `[models.<name>]` and `[strategies.<name>]` in `hybridrec.toml` override them, and those with a
star are searched by [tune_models](runbook-tune-models.md). [Options](options.md) explains each option; each night's report has the
figures on your data. How to add one: [models](adding-a-model.md), [strategies](adding-a-strategy.md)."""
RETRIEVERS = """\
## Models that retrieve

They find the best of all items, which become the candidates, and score the candidates of other models."""
SCORERS = """\
## Models that only score

They score the candidates; each is a column for the ranker and the strategies."""
STRATEGIES = """\
## Strategies

Each turns the candidates into a list. All are evaluated every night on the split `holdout`; each segment of users gets the best list."""

SHARED = """\
## Shared options"""


def page() -> str:
    """Return the page as Markdown, a table per kind, extensions by name."""
    names = extensions.names("models")
    parts = [INTRODUCTION]
    parts += [RETRIEVERS, table("models", [name for name in names if retrieves(name)])]
    parts += [SCORERS, table("models", [name for name in names if not retrieves(name)])]
    parts += [STRATEGIES, table("strategies", list(extensions.names("strategies"))), SHARED, shared_table()]
    return "\n\n".join(parts) + "\n"


def table(kind: str, names: list[str]) -> str:
    """Render one line per extension."""
    rows = ["| name | what it does | from | options |", "|---|---|---|---|"]
    for name in names:
        module = extensions.module(kind, name)
        cells = (f"`{name}`", module.DOC, "; ".join(papers(module)), options(module.Config, getattr(module, "SEARCH", ())))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def shared_table() -> str:
    """Return one line a class that several take options from."""
    configs = [extensions.module(kind, name).Config for kind in ("models", "strategies") for name in extensions.names(kind)]
    bases = {base.__name__: base for config in configs for base in shared(config)}
    rows = ["| class | file | options |", "|---|---|---|"]
    for name, base in sorted(bases.items()):
        rows.append(f"| `{name}` | `{base.__module__.replace('.', '/')}.py` | {options(base)} |")
    return "\n".join(rows)


def papers(module: ModuleType) -> list[str]:
    """Return the papers that the module's docstring names, in its order."""
    text = " ".join((module.__doc__ or "").split())
    return [found[0] for found in re.finditer("|".join(PAPERS), text)]


def options(config: type, searched: Container[str] = ()) -> str:
    """Render the options of a Config with their defaults; inherited ones are listed with their own class."""
    inherited = {field.name: field.default for base in shared(config) for field in fields(base)}
    own = [field for field in fields(config) if inherited.get(field.name, MISSING) != field.default]
    cells = [f"`{field.name}`{'*' if field.name in searched else ''} {shown(getattr(config(), field.name))}" for field in own]
    return ", ".join(cells + [f"and those of [{base.__name__}](#shared-options)" for base in shared(config)[:1]])


def shared(config: type) -> list[type]:
    """Return the classes that a Config has options from, the nearest first."""
    return [base for base in config.__mro__[1:] if is_dataclass(base)]


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name} is written")

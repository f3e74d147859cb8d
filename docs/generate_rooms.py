"""Write docs/rooms.md from the library's imports and the contract in pyproject.toml: `python -m docs.generate_rooms`, or `make docs`."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "rooms.md"
LIBRARY = ROOT / "include" / "hybridrec"
EXTENSIONS = ("bandits", "estimators", "models", "objectives", "rules", "sources", "strategies", "tables", "targets")
INTRODUCTION = """\
# Rooms

Generated from the imports of `include/hybridrec/` and the contract in `pyproject.toml` by `make docs`; change those, not this page.

A room is a package of the library. It imports only rooms below it, also inside functions and for type checkers. `make lint` fails
otherwise, and also for a room that the contract does not name. [DAG files, plugins and jobs](architecture.md#layers) use the library."""
PICTURE = """\
## Imports between rooms

The highest room is at the top. An arrow leads to an imported room; arrows that follow from others are omitted. Extension folders,
in which each file is an extension found by its name, are rounded."""
LIST = """\
## Contents of the rooms

The lowest room comes first."""

FILES = """\
## Files

The files of the library by room, then those that use it."""
USERS = ("plugins/hybridrec_airflow", "plugins/hybridrec_local", "jobs", "dags")  # of the library


def page() -> str:
    """Return the page as Markdown: the picture, a line a room, a line a file."""
    graph = grimp.build_graph("hybridrec", cache_dir=None)
    rows = layers()
    rooms = [room for row in rows for room in row]
    below = {room: {other for other in rooms if other != room and _imports(graph, room, other)} for room in rooms}
    listed = [*folders(rows), *(ROOT / folder for folder in USERS)]
    return "\n\n".join([INTRODUCTION, PICTURE, picture(rows, below), LIST, table(rows, below), FILES, *map(files, listed)]) + "\n"


def layers() -> list[list[str]]:
    """Return the rooms as the contract orders them, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [found for found in settings["contracts"] if found["id"] == "rooms"]
    return [[room.strip() for room in row.split("|")] for row in contract["layers"]]


def picture(rows: list[list[str]], below: dict[str, set[str]]) -> str:
    """Return the rooms as a Mermaid flowchart."""
    shapes = {room: f"([{room}])" if room in EXTENSIONS else f"[{room}]" for row in rows for room in row}
    lines = [f"    {room}{shape}" for room, shape in shapes.items()]
    lines += [f"    {room} --> {other}" for room in shapes for other in sorted(nearest(room, below))]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def nearest(room: str, below: dict[str, set[str]]) -> set[str]:
    """Return the rooms that a room imports, without those that follow from another one of them."""
    return below[room] - {reached for other in below[room] for reached in _reached(other, below)}


def table(rows: list[list[str]], below: dict[str, set[str]]) -> str:
    """Return one line a room, the lowest first."""
    lines = ["| room | holds | imports |", "|---|---|---|"]
    order = [room for row in reversed(rows) for room in row]
    for room in order:
        path = LIBRARY / room / "__init__.py" if (LIBRARY / room).is_dir() else LIBRARY / f"{room}.py"
        name = f"`{room}/`" if (LIBRARY / room).is_dir() else f"`{room}.py`"
        imported = ", ".join(f"`{other}`" for other in order if other in below[room])
        lines.append(f"| {name} | {headline(path)} | {imported} |")
    return "\n".join(lines)


def folders(rows: list[list[str]]) -> list[Path]:
    """Return the folders that hold files to be listed, those of the lowest room first."""
    rooms = [LIBRARY / room for row in reversed(rows) for room in row if (LIBRARY / room).is_dir()]
    return [folder for room in rooms for folder in (room, *sorted(path for path in room.iterdir() if (path / "__init__.py").exists()))]


def files(folder: Path) -> str:
    """Return a table of the modules of a folder."""
    name = folder.relative_to(LIBRARY if folder.is_relative_to(LIBRARY) else ROOT).as_posix()
    lines = [f"### {name}", "", "| file | what it holds |", "|---|---|"]
    paths = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py" and headline(path))
    return "\n".join(lines + [f"| `{path.name}` | {headline(path)} |" for path in paths])


def headline(path: Path) -> str:
    """Return the first paragraph of a file's docstring; a DAG's is a heading with its name."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    text = text.removeprefix(f"### {path.stem}: ")
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).replace("|", "\\|")


def _imports(graph: grimp.ImportGraph, room: str, other: str) -> bool:
    return graph.direct_import_exists(importer=f"hybridrec.{room}", imported=f"hybridrec.{other}", as_packages=True)


def _reached(room: str, below: dict[str, set[str]]) -> set[str]:
    return below[room] | {far for near in below[room] for far in _reached(near, below)}


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name} is written")

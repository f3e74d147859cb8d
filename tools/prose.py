"""Check the prose of the repository against styles/: `python -m tools.prose [file ...]`, or `make lint`.

It reads Markdown, HTML templates, and Python's docstrings, comments and messages. The rules are Vale's format, `existence` and
`substitution`; decision 75 says why Vale itself is not installed. `prose: off` in a line excludes its block of text.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
STYLES = ROOT / "styles" / "Hybridrec"
SENTENCE_END = re.compile(r"(?<=[.!?])[)\"'`*]*\s+(?=[\"'`(*]*[A-Z`])")
MARKS = re.compile(r"^(?:[-*+>]|\d+\.|#+)\s+|\*\*|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)|^\[[ x]\] ")
KINDS, NAMES = {".md", ".html", ".py", ".toml", ".yaml"}, {"Makefile", "Dockerfile"}
SHORTEST_MESSAGE = 4  # words; shorter strings are names and keys


class Rule(NamedTuple):
    """One pattern with its message."""

    pattern: re.Pattern[str]
    message: str


class Text(NamedTuple):
    """A block of prose; a heading may be a phrase, so it is checked for words only."""

    line: int
    words: str
    heading: bool = False


def rules(folder: Path = STYLES) -> dict[str, list[Rule]]:
    """Read the rules by the name of their file."""
    return {path.stem: list(_rules(yaml.safe_load(path.read_text()))) for path in sorted(folder.glob("*.yml"))}


def _rules(style: dict[str, object]) -> Iterator[Rule]:
    flags = re.IGNORECASE if style.get("ignorecase") else re.NOFLAG
    message = str(style["message"])
    if style["extends"] == "substitution":
        swap = style["swap"]
        assert isinstance(swap, dict)
        for wrong, right in swap.items():
            yield Rule(re.compile(rf"\b(?:{wrong})\b", flags), message.replace("%s", "{}", 1).replace("%s", str(right)))
    else:
        tokens = style["tokens"]
        assert isinstance(tokens, list)
        for token in tokens:
            yield Rule(re.compile(token if style.get("nonword") else rf"\b(?:{token})\b", flags), message.replace("%s", "{}", 1))


def complaints(path: Path, styles: dict[str, list[Rule]]) -> Iterator[str]:
    """Check one file; a complaint has file, line, words and remedy."""
    for text in texts(path):
        for sentence in SENTENCE_END.split(" ".join(text.words.split())):
            for name, members in styles.items():
                if text.heading and name != "Words":
                    continue
                for rule in members:
                    if match := rule.pattern.search(sentence):
                        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
                        yield f"{shown}:{text.line}: {name}: {rule.message.format(match[0].strip())}"


def texts(path: Path) -> Iterator[Text]:
    """Find the blocks of prose of a file by its kind."""
    source = path.read_text()
    reader = {".md": markdown, ".html": html, ".py": python}.get(path.suffix, hash_comments)
    return (text for text in reader(source) if "prose: off" not in text.words)


def markdown(source: str) -> Iterator[Text]:
    """Split Markdown into paragraphs, list items and table cells, without code."""
    source = re.sub(r"^```.*?^```|<!--.*?-->", lambda code: "\n" * code[0].count("\n"), source, flags=re.DOTALL | re.MULTILINE)
    block: list[str] = []
    start = 1
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if not line.strip() or re.match(r"\s*(?:[-*+]|\d+\.)\s|#|\||    ", line):
            yield from _block(start, block)
            block, start = [], number
        if line.startswith("|"):
            yield from (Text(number, _plain(cell), heading=True) for cell in line.strip("| ").split(" | "))
        elif line.startswith("#"):
            yield Text(number, _plain(line), heading=True)
        elif line.strip() and not line.startswith("    "):
            start = start if block else number
            block.append(line)
    yield from _block(start, block)


def _block(start: int, lines: list[str]) -> Iterator[Text]:
    if lines:
        yield Text(start, _plain(" ".join(line.strip() for line in lines)))


def _plain(text: str) -> str:
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "`x`", text))
    return MARKS.sub("", text.strip()).strip()


def html(source: str) -> Iterator[Text]:
    """Take the text between tags of a Jinja template."""
    source = re.sub(r"\{#.*?#\}|<(style|script).*?</\1>", lambda code: "\n" * code[0].count("\n"), source, flags=re.DOTALL)
    source = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", lambda code: "`x`" + "\n" * code[0].count("\n"), source, flags=re.DOTALL)
    for match in re.finditer(r"(?<=>)[^<>]+(?=<)|(?:title|alt|aria-label)=\"[^\"]+\"", source):
        yield Text(source.count("\n", 0, match.start()) + 1, match[0].strip(), heading=len(match[0].split()) < SHORTEST_MESSAGE)


def python(source: str) -> Iterator[Text]:
    """Take docstrings, comments and messages; a message is a string of some words that is no pattern, statement or path."""
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (doc := ast.get_docstring(node)):
            docstrings.add(id(node.body[0].value))  # type: ignore[attr-defined]
            yield from _paragraphs(node.body[0].lineno, doc)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            words = "".join(part.value if isinstance(part, ast.Constant) else "`x`" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            words = node.value
        else:
            continue
        if len(words.split()) >= SHORTEST_MESSAGE:
            yield from _paragraphs(node.lineno, words)
    yield from hash_comments(source)


def _paragraphs(line: int, text: str) -> Iterator[Text]:
    for match in re.finditer(r"(?:.+\n?)+", text):
        yield Text(line + text.count("\n", 0, match.start()), _plain(match[0]))


def hash_comments(source: str) -> Iterator[Text]:
    """Join a comment with full-line comments below it; a file that is not Python is read line by line."""
    try:
        found = list(tokenize.generate_tokens(io.StringIO(source).readline))
        tokens = [(token.start, token.string) for token in found if token.type == tokenize.COMMENT]
    except (tokenize.TokenError, SyntaxError):
        matches = ((number, re.search(r"(?:^|\s)(#+ .*)$", line)) for number, line in enumerate(source.splitlines(), 1))
        tokens = [((number, match.start(1)), match[1]) for number, match in matches if match]
    block: list[str] = []
    lines = source.splitlines()
    last = (0, 0)
    start = 1
    for (line, column), comment in tokens:
        if block and ((line, column) != (last[0] + 1, last[1]) or lines[line - 1][:column].strip()):
            yield from _block(start, block)
            block = []
        start = start if block else line
        last = (line, column)
        block.append(comment.lstrip("#"))
    yield from _block(start, block)


def files(names: Iterable[str]) -> list[Path]:
    """Take the files that are named, or all files of the repository that hold prose."""
    if chosen := [Path(name).resolve() for name in names]:
        return chosen
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [ROOT / name for name in listed if Path(name).suffix in KINDS or Path(name).name in NAMES]
    return [path for path in paths if path.exists()]


def main(names: list[str]) -> int:
    """Print all complaints; 1 if there is one."""
    styles = rules()
    found = [complaint for path in files(names) for complaint in complaints(path, styles)]
    sys.stdout.writelines(f"{complaint}\n" for complaint in found)
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The prose linter: a planted sentence is found in each kind of text, plain English is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import prose

PLANTED = "Who" + "ever reads this wins."  # in two parts: this file is linted as well
RULES = prose.rules()


def found(path: Path, source: str) -> list[str]:
    path.write_text(source)
    return list(prose.complaints(path, RULES))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("page.md", f"# Title\n\nA first sentence. {PLANTED}\n"),
        ("page.md", f"- an item\n- {PLANTED}\n"),
        ("page.html", f"<p>A first sentence.</p>\n<p>{PLANTED}</p>\n"),
        ("module.py", f'"""Summarise.\n\n{PLANTED}\n"""\n'),
        ("module.py", f"x = 1  # {PLANTED}\n"),
        ("module.py", f'raise ValueError(f"table {{name}}: 3 rows. {PLANTED}")\n'),
        ("settings.toml", f"# {PLANTED}\nx = 1\n"),
        ("Makefile", f"run:  ## {PLANTED}\n"),
    ],
)
def test_a_planted_sentence_is_found(tmp_path: Path, name: str, source: str) -> None:
    assert "Subjects" in found(tmp_path / name, source)[0]


@pytest.mark.parametrize(
    "sentence",
    [
        "Of" + " an address the home is a mirror.",
        "Raise the limit, but only" + " where" + " there is memory.",
        "The job me" + "nds the rows.",
        "The setting is empty where" + " no fingerprint is available.",
        "Return" + " identify the file that lies at this path now.",
        "Return" + " the newest event lies before the landing.",
        "Return" + " the parent run with its nested ones; returns its id.",
    ],
)
def test_each_kind_of_rule_finds_its_sentence(tmp_path: Path, sentence: str) -> None:
    assert found(tmp_path / "page.md", sentence)


@pytest.mark.parametrize(
    "source",
    [
        "## Wh" + "at a night does\n",
        "Wh" + "at does it cost? Ten seconds.\n",
        "Run `who" + "ever no" + "body` in a shell.\n",
        "```\nno" + "body\n```\n",
        "The report names the folder where the files are.\n",
        "Of course this is allowed.\n",
        "Return the file that is newest, or the one that has a name.\n",
    ],
)
def test_plain_english_passes(tmp_path: Path, source: str) -> None:
    assert found(tmp_path / "page.md", source) == []


def test_a_complaint_says_file_line_and_remedy(tmp_path: Path) -> None:
    (complaint,) = found(tmp_path / "page.md", "One.\n\nIt was planned like" + "wise.\n")
    assert complaint.endswith("page.md:3: Words: 'like" + "wise': write the same way, also")

"""The documentation against the code: generated pages are fresh, links lead somewhere, commands are accepted."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from docs import generate_decisions, generate_extensions, generate_models, generate_options, generate_rooms, generate_tables
from hybridrec.base import extensions
from hybridrec.base.config import Config, read_config
from hybridrec.execution import command_line
from tests.support import ROOT

GENERATORS = (generate_decisions, generate_extensions, generate_models, generate_options, generate_rooms, generate_tables)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


@pytest.mark.parametrize("made", GENERATORS)
def test_generated_pages_are_fresh(made: ModuleType) -> None:
    assert made.PAGE.read_text() == made.page(), f"{made.PAGE.relative_to(ROOT)} is stale: run `make docs`"


def test_every_option_has_a_meaning() -> None:
    assert re.findall(r"^\| `(\w+)`\*? \| .* \|  \|$", generate_options.page(), flags=re.MULTILINE) == []


def test_the_index_names_every_page() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]
    assert [page for page in pages if f"]({page})" not in text] == []


@pytest.mark.parametrize("name", extensions.names("models"))
def test_every_model_names_its_paper(name: str) -> None:
    assert generate_models.papers(extensions.module("models", name)), 'the docstring names a paper: Author, "Title", VENUE YEAR'


def test_every_table_has_a_section() -> None:
    text = generate_tables.page()
    assert [name for name in extensions.names("tables") if f"### {name}\n" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link} has no such heading"


def anchors(page: Path) -> set[str]:
    """Return anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[tuple[str, str]]:
    """Return every `python -m jobs.x ...` of the documentation, with the page that it stands on."""
    found = []
    for page in PAGES:
        for match in re.finditer(r"(?:python|spark-submit) -m jobs\.[a-z_]+[^`\n]*", page.read_text()):
            found.append((page.relative_to(ROOT).as_posix(), match[0].split("#")[0].strip()))
    return found


@pytest.mark.parametrize(("page", "command"), commands(), ids=[f"{page}: {command}" for page, command in commands()])
def test_commands_are_accepted_by_their_job(page: str, command: str) -> None:
    module, *flags = shlex.split(command)[2:]
    assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists(), f"{page}: there is no {module}"
    params = importlib.import_module(module).Params
    command_line.parse(params, flags)


def test_every_make_target_of_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z][a-z-]*)", page.read_text())}
    assert named - targets == set()


def test_the_options_of_the_example_are_known(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "options.md").read_text(), flags=re.DOTALL)
    assert example
    (tmp_path / "hybridrec.toml").write_text(example[1])
    assert isinstance(read_config(tmp_path / "hybridrec.toml"), Config)


def test_every_environment_variable_is_documented() -> None:
    text = (ROOT / "docs" / "options.md").read_text()
    internal = {"HYBRIDREC_SPARK_SESSION", "HYBRIDREC_MLFLOW_URL", "HYBRIDREC_TASK_PID"}  # set by tasks and services for their children
    files = [*(ROOT / "include").rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), *(ROOT / "jobs").glob("*.py")]
    used = {name for path in files for name in re.findall(r'"(HYBRIDREC_[A-Z_]+)"', path.read_text())}
    assert "HYBRIDREC_HOME" in used
    assert [name for name in sorted(used - internal) if f"`{name}`" not in text] == []


def test_no_path_of_a_machine_stands_in_the_documentation() -> None:
    for page in PAGES:
        found = re.search(r"(?<![\w.~>])/(?:home|root|work|tmp|Users)/", page.read_text())
        assert not found, f"{page.name}: {found[0] if found else ''}"


def test_the_glossary_is_in_order_and_every_term_is_used() -> None:
    terms = re.findall(r"^\*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE)
    assert terms == sorted(terms, key=str.lower) and len(set(terms)) == len(terms)
    pages = [page for page in PAGES if page.name not in ("glossary.md", "CHANGELOG.md") and page.parent.name != "decisions"]
    code = [path for folder in ("include", "jobs", "plugins", "dags") for path in (ROOT / folder).rglob("*.py")]
    text = words(" ".join(path.read_text() for path in (*pages, *code)))
    assert [term for term in terms if words(term) not in text] == []


def words(text: str) -> str:
    """Return the text in small letters with names as words: SplitMethod and split_method are both split method."""
    return re.sub(r"[-_\s]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md" or page.parent.name == "decisions":
        return  # these describe the past
    named = re.findall(r"(?<![\w/])tests/[\w/]+(?:\.py)?", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []

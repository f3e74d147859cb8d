"""The Data Docs site: one Great Expectations file context for all sources, pages that need no network and no scripts."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.settings import Settings

if TYPE_CHECKING:
    from great_expectations.data_context import FileDataContext

SITE = "local_site"
STYLE_FILE = "datadocs.css"
RESULTS = Path("gx", "uncommitted", "validations")  # below the project; its files lie as the site's pages do
REMOTE = re.compile(
    r"<script[^>]*src=\"https?://[^>]*>\s*</script>|<link[^>]*href=\"https?://[^>]*>|<img[^>]*src=\"https?://[^>]*>"
    r"|<footer>.*?</footer>|url\('https?://[^)]*\)",
    re.DOTALL,
)


def project_folder(settings: Settings) -> Path:
    """Return Great Expectations' own project: suites, checkpoints, results."""
    return settings.home / "gx"


def index_page(settings: Settings) -> Path:
    """Return the entrance of the site."""
    return settings.data_docs / "index.html"


def open_context(settings: Settings) -> FileDataContext:
    """Return the project's context, made on first use, without progress bars and with the site at `settings.data_docs`."""
    import great_expectations as gx

    context = gx.get_context(mode="file", project_root_dir=str(project_folder(settings)))
    sites = context.variables.data_docs_sites
    store = sites[SITE]["store_backend"]
    if store["base_directory"] != str(settings.data_docs):
        store["base_directory"] = str(settings.data_docs)
        sites[SITE]["show_how_to_buttons"] = False
        context.variables.data_docs_sites = sites
        context.variables.progress_bars = {"globally": False}
        context.variables.save()
        context = gx.get_context(mode="file", project_root_dir=str(project_folder(settings)))
    return context


def prune(context: FileDataContext, suite_name: str, keep: int) -> None:
    """Forget a suite's validation results but the newest; the next checkpoint removes their pages."""
    results = context.validation_results_store
    keys = [key for key in results.list_keys() if key.expectation_suite_identifier.name == suite_name]
    for key in sorted(keys, key=lambda key: str(key.run_id.run_time))[:-keep]:
        results.remove_key(key)


def finish_site(settings: Settings) -> None:
    """Take the network out of the new pages, and write an entrance: Great Expectations' own is empty without scripts."""
    site = settings.data_docs
    (site / STYLE_FILE).write_text((Path(__file__).parent / STYLE_FILE).read_text())
    for page in site.rglob("*.html"):
        text = page.read_text()
        if REMOTE.search(text):
            page.write_text(REMOTE.sub("", text).replace("</head>", f"{_style_link(site, page)}</head>", 1))
    entrance = site / "index.html.new"
    entrance.write_text(_entrance(settings))
    entrance.replace(index_page(settings))


def _style_link(site: Path, page: Path) -> str:
    return f'<link rel="stylesheet" href="{os.path.relpath(site / STYLE_FILE, page.parent)}">'


def _entrance(settings: Settings) -> str:
    results = project_folder(settings) / RESULTS
    files = sorted(results.rglob("*.json"), key=lambda path: path.parent.name, reverse=True)
    rows = "".join(_result_row(path, path.relative_to(results)) for path in files)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        f'<link rel="stylesheet" href="{STYLE_FILE}"></head><body><div class="container-fluid"><h1>Data Docs</h1>'
        "<p>What Great Expectations found in the core tables, newest first. Times are UTC.</p><table><thead><tr><th>Table</th>"
        f"<th>Checked at</th><th>Outcome</th><th>Expectations that hold</th></tr></thead><tbody>{rows}</tbody></table></div></body></html>"
    )


def _result_row(path: Path, name: Path) -> str:
    result = json.loads(path.read_text())
    mark, word = ("fa-check-circle text-success", "holds") if result["success"] else ("fa-times-circle text-danger", "failed")
    counts, page = result["statistics"], Path("validations") / name.with_suffix(".html")
    checked_at = str(result["meta"]["run_id"]["run_time"])[:19].replace("T", " ")
    return (
        f'<tr><td><a href="{html.escape(page.as_posix())}">{html.escape(name.parts[0])}</a></td><td>{checked_at}</td>'
        f'<td><i class="fas {mark}"></i> {word}</td>'
        f"<td>{counts['successful_expectations']} of {counts['evaluated_expectations']}</td></tr>"
    )

"""The Data Docs site: one Great Expectations file context for all sources, pages that need no network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.settings import Settings

if TYPE_CHECKING:
    from great_expectations.data_context import FileDataContext

SITE = "local_site"
STYLE_FILE = "offline.css"
REMOTE_TAGS = re.compile(r"<script[^>]*src=\"https?://[^>]*>\s*</script>|<link[^>]*href=\"https?://[^>]*>", re.DOTALL)


def project_folder(settings: Settings) -> Path:
    """Great Expectations' own project: suites, checkpoints, results."""
    return settings.home / "gx"


def index_page(settings: Settings) -> Path:
    """The entrance of the site."""
    return settings.data_docs / "index.html"


def open_context(settings: Settings) -> FileDataContext:
    """The project's context, made on first use, without progress bars and with the site at `settings.data_docs`."""
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
    """Forget a suite's validation results but the newest."""
    results = context.validation_results_store
    keys = [key for key in results.list_keys() if key.expectation_suite_identifier.name == suite_name]
    for key in sorted(keys, key=lambda key: str(key.run_id.run_time))[:-keep]:
        results.remove_key(key)


def make_offline(site: Path) -> None:
    """Replace the pages' links to style sheets and scripts on the network by one style sheet beside them."""
    (site / STYLE_FILE).write_text(STYLE)
    for page in site.rglob("*.html"):
        text = page.read_text()
        if REMOTE_TAGS.search(text):
            link = f'<link rel="stylesheet" href="{os.path.relpath(site / STYLE_FILE, page.parent)}">'
            page.write_text(REMOTE_TAGS.sub("", text).replace("</head>", f"{link}</head>", 1))


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 0 1rem 3rem; color: #222; }
"""

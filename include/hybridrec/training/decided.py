"""Options that a model finds out once a run, on the ranker split, and that its fits of all splits share.

A fit of its own choice would not do: the ranker learns what a score means on one split, and reads it on another.
"""

from __future__ import annotations

import json
import logging

from hybridrec.base import extensions
from hybridrec.base.config import Options
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.training.fits import config_of, training_data

log = logging.getLogger(__name__)
FILE = "options.json"


def keep_decisions(run: Run) -> None:
    """Let each model of the run that has a function `decide` do so, and keep the options that it decides on."""
    for name in run.manifest.models:
        decide = getattr(extensions.module("models", name), "decide", None)
        if decide is None:
            continue
        decided = decide(training_data(run, "ranker", name), config_of(name, run.config.options("models", name)))
        log.info("models.%s: decided on %s", name, decided)
        with run.staged(_artefact(name)) as folder:
            store.write_json(folder / FILE, decided)


def options_of(run: Run, model: str) -> Options:
    """Return a model's options in this run: what differs from its defaults."""
    options = run.config.options("models", model)
    if not store.is_committed(run.dataset(_artefact(model))):
        return options
    return {**options, **json.loads((run.artefact(_artefact(model)) / FILE).read_text())}


def _artefact(model: str) -> str:
    return f"decided/{model}"

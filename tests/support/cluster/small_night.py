"""A small ingest and night, to be run in several topologies; its result is its tables' content hashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.publishing.publish import live_publication
from hybridrec.serving import lookup
from hybridrec.storage import store
from hybridrec.versions.publications import Publication
from tests.support import nightly, object_store

RUN_ID = "night"
NIGHT: dict[str, Any] = {"source": "synthetic", "models": ["als", "item_knn", "popularity"], "k": 10}
WORLD = "[sources.synthetic]\nn_events = 20_000\nn_users = 300\nn_items = 200\n"
LEFT_OUT = {"start_spark", "stop_spark", "write_report", "confirm_outcome"}  # no other job needs them
TABLES = set(extensions.names("tables")) - {"out_ablation"}  # which tells how many seconds a source took


def run(home: Path, launch: nightly.Launch, patch: pytest.MonkeyPatch, left_out: set[str] = LEFT_OUT) -> dict[str, str]:
    """Run the jobs in sequence in a home of their own; returns the hash of every table by its path."""
    home.mkdir()
    (home / "hybridrec.toml").write_text(WORLD)
    patch.setenv("HYBRIDREC_HOME", str(home))
    nightly.ByHand(RUN_ID, NIGHT, left_out, launch).run(home, "ingest", "nightly_retrain")
    return hashes(home)


def hashes(home: Path) -> dict[str, str]:
    """Return the content hash of every table by its place, as runs/night/model_items."""
    address = Settings.from_env().storage
    folders = [home / "runs", home / "warehouse"]
    local = [path.relative_to(home).as_posix() for folder in folders for path in folder.rglob(store.MANIFEST)]
    places = [name.rsplit("/", 1)[0] for name in (object_store.objects(address) if address else local) if name.endswith(store.MANIFEST)]
    return {place: store.read_manifest(home / place).content_hash for place in places if place.split("/")[2] in TABLES}


def published(home: Path) -> Publication:
    """Return the version that a night has published on one machine."""
    target = lookup.open_target(replace(Settings.from_env(), home=home))
    found = live_publication(target.versions())
    target.close()
    assert found
    return found


def of_run(run_id: str, found: dict[str, str]) -> dict[str, str]:
    """Return one run's tables and its inputs, at the paths of the run `night`."""
    shared = {place: found[place] for place in found if place.startswith("warehouse/")}
    own = {place.removeprefix(f"runs/{run_id}/"): found[place] for place in found if place.startswith(f"runs/{run_id}/")}
    return shared | {f"runs/{RUN_ID}/{name}": content_hash for name, content_hash in own.items()}

"""A small ingest and night, to be run in several topologies; its result is its tables' content hashes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
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
STARTED: dict[str, Any] = {"experiment": "shorter", "phase": "running", "source": "synthetic", "reason": "a test of the topology"}
# The night tries an experiment, arms and a place for exploration.
WORLD = """
[sources.synthetic]
n_events = 20_000
n_users = 300
n_items = 200
[bandit.arms]
people = "als=2,item_knn=1"
neighbours = "item_knn=1"
crowd = "popularity=1"
[exploration]
positions = [7]
"""
EXPERIMENT = """
hypothesis = "A shorter list is read to its end"
outcome = "clicks"
minimum_effect = 0.05
horizon_days = 14
start = {today}
[variants.control]
share = 0.5
[variants.shorter]
share = 0.5
k = 4
strategy = "weighted"
"""
LEFT_OUT = {"start_spark", "stop_spark", "write_report", "confirm_outcome"}  # no other job needs them
TABLES = set(extensions.names("tables")) - {"out_ablation"}  # which tells how many seconds a source took


def run(home: Path, launch: nightly.Launch, patch: pytest.MonkeyPatch, left_out: set[str] = LEFT_OUT) -> dict[str, str]:
    """Run the jobs in sequence in a home of their own; returns the hash of every table by its path."""
    home.mkdir()
    write_options(home)
    patch.setenv("HYBRIDREC_HOME", str(home))
    nightly.ByHand(RUN_ID, NIGHT, left_out, launch).run(home, "ingest")
    nightly.ByHand(RUN_ID, STARTED, left_out, launch).run(home, "start_experiment")
    nightly.ByHand(RUN_ID, NIGHT, left_out, launch).run(home, "nightly_retrain")
    return hashes(home)


def write_options(home: Path) -> None:
    """Write the options of the small night, and the experiment that it makes lists for."""
    (home / "hybridrec.toml").write_text(WORLD)
    (home / "experiments").mkdir(exist_ok=True)
    (home / "experiments" / "shorter.toml").write_text(EXPERIMENT.format(today=datetime.now(UTC).date()))


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

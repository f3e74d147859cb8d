"""Groups of hybridrec.toml for what a night tries out, and the run that a new one goes on from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hybridrec.base.config import Config, read_config, stored_config
from hybridrec.base.errors import PermanentError
from hybridrec.opening.earlier import earlier_run
from hybridrec.runs.run import Run
from hybridrec.storage import store
from tests.support import small_world

ARMS = '[bandit.arms]\ncontent = "content_text=1, content_attributes=0.5"\npeople = "als=2,item_knn=1"\nstack = "stacking"\n'


def read(tmp_path: Path, text: str) -> Config:
    (tmp_path / "hybridrec.toml").write_text(text)
    return read_config(tmp_path / "hybridrec.toml")


def test_what_is_tried_is_an_option_of_the_night(tmp_path: Path) -> None:
    text = "[bandit]\nshare = 0.2\nhalf_life_days = 30\n" + ARMS + '[exploration]\npositions = [5, 10]\n[objective]\nname = "margin"\n'
    config = read(tmp_path, text)
    assert config.bandit.share == 0.2 and sorted(config.bandit.arms) == ["content", "people", "stack"]
    assert config.exploration.positions == [5, 10]
    assert config.objective.name == "margin"
    assert stored_config(__import__("json").loads(store.as_json(__import__("dataclasses").asdict(config)))) == config


def test_nothing_is_tried_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "").bandit.arms == {}
    assert read(tmp_path, "").exploration.positions == []
    assert read(tmp_path, "").objective.name == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bandit]\nname = 'tomson'\n" + ARMS, r"\[bandit\]: there is no 'tomson' in bandits/; did you mean thompson"),
        ("[bandit]\nshare = 0\n" + ARMS, r"share is 0, expected above 0 and at most 1; to stop the bandit remove its arms"),
        ("[bandit]\nfloor = 0.4\n" + ARMS, r"floor is 0.4, expected above 0 and at most 0.333"),
        ("[bandit]\nflor = 0.4\n" + ARMS, r"there is no option 'flor'; did you mean floor"),
        ('[bandit.arms]\na = "als=1"\n', r"1 arms, expected 3 to 6 named blends below \[bandit.arms\]"),
        (ARMS + 'other = "alls=1"\n', r"arms other: there is no retriever 'alls'; did you mean als"),
        (ARMS + 'other = "stackin"\n', r"arms other: there is no strategy 'stackin'; did you mean stacking"),
        (ARMS + 'other = "als=-1"\n', r"arms other: 'als=-1', expected each retriever once, with a weight above 0"),
        (ARMS + 'other = "als=1,als=2"\n', r"arms other: 'als=2', expected each retriever once"),
        (ARMS + "other = 3\n", r"arms other: it is 3, expected weights of retrievers"),
        (ARMS + 'Other = "als=1"\n', r"arm 'Other': an arm's name has lower-case letters"),
        ("[exploration]\npositions = [0]\n", r"positions is \[0\], expected at most 5 different places from 1 on"),
        ("[exploration]\npositions = [5, 5]\n", r"expected at most 5 different places"),
        ("[exploration]\npositions = 5\n", r"positions is 5, expected list"),
        ("[objective]\nname = 'margins'\n", r"there is no 'margins' in objectives/; did you mean margin"),
        ("[objective]\nstrengths = [-1.0]\n", r"strengths is \[-1.0\], expected numbers above 0"),
        ("[objective]\nmax_loss = 2.0\n", r"max_loss is 2, expected an NDCG"),
        ("[bandits]\n[bandits.thomson]\n", r"there is no group \[bandits.thomson\]"),
    ],
)
def test_what_cannot_be_tried_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=message):
        read(tmp_path, text)


def learnt(run: Run, run_id: str, days: int, source: str = "small") -> Run:
    """Return a run of other days that has saved what adaptive_weights carries."""
    made = Run.create(replace(run.manifest, run_id=run_id, source=source, as_of=small_world.AS_OF + timedelta(days=days)), run.settings)
    with made.staged("strategies/adaptive_weights") as folder:
        store.write_json(folder / "losses.json", {})
    return made


def test_a_run_goes_on_from_the_newest_one_before_it(small_run: Run) -> None:
    settings, as_of = small_run.settings, small_world.AS_OF
    assert earlier_run("small", as_of, "time", settings) == ""
    for run_id, days in (("c", 3), ("a", 1), ("b", 2)):
        learnt(small_run, run_id, days)
    learnt(small_run, "elsewhere", 2, source="other")
    Run.create(replace(small_run.manifest, run_id="unfinished", as_of=as_of + timedelta(days=2.5)), settings)
    assert earlier_run("small", as_of + timedelta(days=3), "time", settings) == "b"
    assert earlier_run("small", as_of + timedelta(days=9), "time", settings) == "c"
    assert earlier_run("small", as_of + timedelta(days=9), "last_per_user", settings) == ""
    assert earlier_run("small", as_of, "time", settings) == ""

"""Opening a night: splits by time, and requests that are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from hybridrec.base import extensions
from hybridrec.base.config import FOR_EVER, Config, SplitMethod, read_config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.experiments import standing
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run
from hybridrec.splitting.cuts import EPOCH, HOUR, Spans, cut_splits
from tests.support import made_experiments, small_world
from tests.support.made_experiments import moved


def test_cuts_leave_the_newest_share_for_labels() -> None:
    hours, counts = np.arange(100), np.full(100, 10)
    splits = cut_splits(hours, counts, EPOCH + 100 * HOUR, Config(label_share=0.2))
    assert splits["holdout"].cut == EPOCH + 79 * HOUR
    assert splits["ranker"].cut == EPOCH + 63 * HOUR
    assert splits["ranker"].label_end == splits["holdout"].cut
    assert splits["full"].cut == splits["holdout"].label_end == EPOCH + 100 * HOUR


def test_a_label_window_is_never_longer_than_its_limit() -> None:
    hours, counts = np.arange(0, 24 * 1000, 24), np.full(1000, 1)
    splits = cut_splits(hours, counts, EPOCH + 1000 * 24 * HOUR, Config(label_days_max=30, min_label_events=10))
    assert splits["full"].cut - splits["holdout"].cut == timedelta(days=30)
    splits = cut_splits(hours, counts, EPOCH + 1000 * 24 * HOUR, Config(label_days_max=30, min_label_events=100))
    assert splits["full"].cut - splits["holdout"].cut == timedelta(days=101)


def spans(first: list[int], last: list[int]) -> Spans:
    return Spans(np.sort(np.array(first)), np.sort(np.array(last)), 1)


def test_spans_count_users_on_both_sides_of_a_cut() -> None:
    assert spans([1, 1, 2, 9], [5, 9, 9, 9]).known(np.array([1, 2, 6, 9, 10])).tolist() == [0, 2, 2, 2, 0]


def test_a_window_of_newcomers_begins_where_users_with_a_history_came_back() -> None:
    """Fifty of 200 early users came back, all in hour 70; the usual window begins in hour 79."""
    hours, counts, end = np.arange(100), np.full(100, 10), EPOCH + 100 * HOUR
    early, came_back = [0] * 200, [1] * 150 + [70] * 50
    newcomers = [90] * 300
    found = cut_splits(hours, counts, end, Config(), lambda _: spans(early + newcomers, came_back + newcomers))
    assert found["holdout"].cut == EPOCH + 70 * HOUR
    assert cut_splits(hours, counts, end, Config(min_label_users=0), lambda _: spans(early, came_back))["holdout"].cut == EPOCH + 79 * HOUR
    nobody = cut_splits(hours, counts, end, Config(), lambda _: spans(early, [1] * 200))
    assert nobody["holdout"].cut == EPOCH + 79 * HOUR, "a wider window would find no more of them"


def test_a_window_with_users_enough_stays() -> None:
    hours, counts, end = np.arange(100), np.full(100, 10), EPOCH + 100 * HOUR
    found = cut_splits(hours, counts, end, Config(), lambda _: spans([0] * 100, [1] * 75 + [90] * 25))
    assert found["holdout"].cut == EPOCH + 79 * HOUR


@pytest.mark.parametrize("split", ["last_per_user", "random_per_user"])
def test_without_a_calendar_nothing_is_cut_by_time(split: SplitMethod) -> None:
    end = EPOCH + 10 * HOUR
    splits = cut_splits(np.array([5]), np.array([100]), end, Config(split=split))
    assert {split.cut for split in splits.values()} == {end} and splits["full"].label_end is None


def test_too_little_history_says_so() -> None:
    with pytest.raises(PermanentError, match="no positive event before 1970-01-01 05:00; load more history"):
        cut_splits(np.array([5]), np.array([100]), EPOCH + 10 * HOUR, Config())


@pytest.mark.parametrize("split", ["time", "last_per_user", "random_per_user"])
def test_events_that_all_weigh_nothing_are_explained(split: SplitMethod) -> None:
    with pytest.raises(
        PermanentError, match=r"no positive event before 1970-01-01 10:00; .* correct event_type: only types .* \(view, click, add_to"
    ):
        cut_splits(np.array([], dtype=int), np.array([], dtype=int), EPOCH + 10 * HOUR, Config(split=split))


@pytest.fixture
def ingested(home: Path) -> Settings:
    small_world.write_core_tables()
    return Settings.from_env()


def test_the_first_attempt_resolves_for_all_later_ones(ingested: Settings) -> None:
    first = open_run(Request("night", "files", k=7), ingested)
    assert first.config.k == 7
    assert open_run(Request("night", "files", k=9), ingested).manifest == first.manifest
    assert Run.open("night").manifest == first.manifest


def test_as_of_behind_the_newest_event_is_the_newest_event(ingested: Settings) -> None:
    newest = small_world.events().event_at.max().replace(microsecond=0) + timedelta(seconds=1)
    assert open_run(Request("a", "files"), ingested).manifest.as_of == newest
    assert open_run(Request("b", "files", as_of="2030-01-01"), ingested).manifest.as_of == newest
    assert (
        open_run(Request("c", "files", as_of="2026-03-01T02:00:00+02:00"), ingested).manifest.as_of.isoformat()
        == "2026-03-01T00:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("n", "files", k=-1), "k is -1, expected 1 to 200"),
        (Request("n", "files", k=1000), "k is 1000"),
        (Request("n", "files", models=("nonsense",)), r"models: there is no nonsense; choose from .*"),
        (Request("n", "files", as_of="1990-01-01"), "the first event is of 2026"),
        (Request("n", "files", as_of="tomorrow"), "as_of is 'tomorrow', expected a date"),
        (Request("n", "movielens_100k"), "nothing ingested yet; run the DAG ingest"),
        (Request("n", "nowhere"), "sources: there is no 'nowhere'; choose from"),
    ],
)
def test_a_bad_request_is_refused_with_the_remedy(ingested: Settings, request_: Request, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        open_run(request_, ingested)
    assert not (ingested.runs / "n").exists()


def test_an_unknown_option_is_refused(ingested: Settings) -> None:
    (ingested.home / "hybridrec.toml").write_text("[night]\nkay = 3\n")
    with pytest.raises(PermanentError, match=r"there is no option .kay.; choose from .*label_share"):
        open_run(Request("n", "files"), ingested)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[nigth]\nk = 3\n", r"hybridrec.toml: there is no group \[nigth\]; did you mean night\? choose from bandit, bandits, "),
        ("[model.als]\nfactors = 3\n", r"there is no group \[model\]; did you mean models\? choose from "),
        ("[models.alz]\nfactors = 3\n", r"there is no group \[models.alz\]; did you mean als\? choose from als, "),
        ("[models.als]\nfactor = 3\n", r"\[models.als\]: there is no option 'factor'; did you mean factors\? choose from "),
        ('[models.als]\nfactors = "many"\n', r"\[models.als\]: factors is 'many', expected int"),
        ("[rules.mmr]\nweigth = 3\n", r"\[rules.mmr\]: there is no option 'weigth'"),
        ("[rules.seen]\ndays = 3\n", r"\[rules.seen\]: it has no options; remove the group"),
        ("[models]\nals = 3\n", r"\[models.als\]: it is 3, expected a group of options"),
        ("night = 3\n", r"\[night\]: it is 3, expected a group of options"),
        ("k = 3\n", r"there is no group \[k\]"),
        ("[night]\nk = \n", r"hybridrec.toml: it cannot be read as TOML: Invalid value \(at line 2, column 5\)"),
        ("[models.ALZ]\nfactors = 3\n", r"there is no group \[models.ALZ\]; did you mean als\? choose from als, "),
        ("[night.event_weights]\nveiw = 1\n", r"\[night.event_weights\]: there is no event type 'veiw'; did you mean view\? choose from "),
        ('[night.event_weights]\nview = "much"\n', r"\[night.event_weights\]: view is 'much', expected a number from 0 on"),
        ("[night.had_days]\nveiw = 1\n", r"\[night.had_days\]: there is no event type 'veiw'; did you mean view\? choose from "),
        ('[night.had_days]\nview = "for ever"\n', r"\[night.had_days\]: view is 'for ever', expected a number"),
        ("[night.had_days]\nview = nan\n", r"\[night.had_days\]: view is nan, expected a number"),
        ('[night]\nlabel_types = ["veiw"]\n', r"\[night\] label_types: there is no event type 'veiw'; did you mean view\? choose from "),
        ("[night]\nlabel_shares = 0.3\n", r"there is no option 'label_shares'; did you mean label_share\?"),
        ("[surfaces.E-Mail]\nk = 3\n", r"\[surfaces.E-Mail\]: a surface's name has lower-case letters, digits and '_'"),
        ("[surfaces.recommendations]\nk = 3\n", r"\[surfaces.recommendations\]: it is the night's own list"),
        ("[surfaces]\nemail = 3\n", r"\[surfaces.email\]: it is 3, expected a group of options"),
        ("[surfaces.email]\nk = 201\n", r"\[surfaces.email\]: k is 201, expected 1 to 200, or 0 for the night's"),
        ("[surfaces.email]\nsize = 3\n", r"\[surfaces.email\]: there is no option 'size'"),
        ('[surfaces.email]\nhistory = "news"\n', r"history is 'news'; did you mean new\? choose from again, new, night"),
        ('[surfaces.email]\nhistory = "again"\n', r"\[surfaces.email\]: history is 'again', but every item of a user's history is one"),
        ('[surfaces.email]\nonly_categories = ["Horror"]\n', r"no item of the catalogue has the category 'Horror'"),
        ('[night]\nconsumable_categories = ["Horror"]\n', r"\[night\] consumable_categories: no item of the catalogue has the category"),
        ('[night]\nlabel_types = ["view"]\n[night.event_weights]\nview = 0\n', r"label_types: view has no weight in event_weights"),
        ('[night]\nsplit = "last_per_user"\n[night.had_days]\nview = 0\n', r"had_days.view needs times of events"),
        ("[surfaces.email]\nonly_categories = [3]\n", r"only_categories is \[3\], expected names"),
        ('[surfaces.email]\nonly_categories = ["A"]\nnot_categories = ["A"]\n', r"'A' is in only_categories and in not_categories"),
        ('[surfaces.email]\nwithout_rules = ["seeen"]\n', r"there is no rule 'seeen'; did you mean seen\?"),
        ('[surfaces.email]\nwithout_rules = ["seen"]\n', r"no list may do without out_of_stock and seen"),
        ('[surfaces.email]\nwithout_rules = ["mmr"]\n[surfaces.email.rules.mmr]\ndepth = 5\n', r"mmr has options, but without_rules"),
        ("[surfaces.email.rules.mmr]\nspread = 5\n", r"\[surfaces.email\], with the night's \[rules.mmr\]: there is no option 'spread'"),
        ("[surfaces.email.rules]\nmmr = 5\n", r"\[surfaces.email\] rules.mmr: it is 5, expected a group of options"),
    ],
)
def test_an_option_that_nobody_would_read_is_refused_before_anything_runs(text: str, message: str, ingested: Settings) -> None:
    (ingested.home / "hybridrec.toml").write_text(text)
    with pytest.raises(PermanentError, match=message):
        open_run(Request("n", "files"), ingested)
    assert not (ingested.runs / "n").exists()


def test_weights_that_are_not_named_keep_their_default(home: Path) -> None:
    (home / "hybridrec.toml").write_text("\ufeff[night.event_weights]\nview = 0\n")  # the mark is Notepad's
    assert read_config(home / "hybridrec.toml").event_weights == Config().event_weights | {"view": 0}


def test_days_may_be_for_ever(home: Path) -> None:
    (home / "hybridrec.toml").write_text("[night.had_days]\npurchase = inf\nview = 3\n")
    assert read_config(home / "hybridrec.toml").had_days == Config().had_days | {"purchase": FOR_EVER, "view": 3.0}


def test_a_folder_in_the_options_place_is_named(home: Path) -> None:
    (home / "hybridrec.toml").mkdir(parents=True)
    with pytest.raises(PermanentError, match=r"hybridrec\.toml: it cannot be read as TOML"):
        read_config(home / "hybridrec.toml")


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "²"])
def test_threads_are_a_whole_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_THREADS", text)
    with pytest.raises(PermanentError, match=f"HYBRIDREC_THREADS is '{text}', expected a whole number from 1 on"):
        Settings.from_env()


def test_options_of_an_extension_that_is_switched_off_do_no_harm(ingested: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SKIP", "models.als")
    (ingested.home / "hybridrec.toml").write_text("[models.als]\nfactors = 16\n")
    assert "als" not in open_run(Request("n", "files"), ingested).manifest.models


def test_an_empty_k_is_the_option(ingested: Settings) -> None:
    (ingested.home / "hybridrec.toml").write_text("[night]\nk = 7\n")
    assert open_run(Request("n", "files"), ingested).config.k == 7
    assert open_run(Request("m", "files", k=9), ingested).config.k == 9


def test_a_backfill_that_takes_up_a_scheduled_run_publishes_only_by_request(ingested: Settings) -> None:
    first = open_run(Request("night", "files", k=7), ingested).manifest
    again = open_run(Request("night", "files", k=9, publish=False, backfill=True), ingested).manifest
    assert again == replace(first, publish=False, backfill=True)
    assert Run.open("night").manifest == again


def test_models_go_where_they_find_what_they_need(ingested: Settings) -> None:
    """The small world chooses nothing again, and its catalogue has vectors only if they are given."""
    needy = {name for name in extensions.names("models") if getattr(extensions.module("models", name), "NEEDS", ())}
    assert needy == {"co_visitation", "content_vectors", "own_frequency", "tifu_knn"}
    without = open_run(Request("without", "files"), ingested).manifest
    assert not needy & set(without.models) and not without.vectors
    small_world.write_core_tables(vector=[[1.0, float(n)] if n % 2 else None for n in range(small_world.N_ITEMS)])
    with_vectors = open_run(Request("with", "files"), ingested).manifest
    assert set(with_vectors.models) == {*without.models, "content_vectors"} and with_vectors.vectors
    chosen = open_run(Request("chosen", "files", models=("content_vectors", "tifu_knn")), ingested).manifest
    assert "content_vectors" in chosen.models and "tifu_knn" not in chosen.models


def test_a_need_that_no_night_has_is_refused(ingested: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions.module("models", "als"), "NEEDS", ("pictures",), raising=False)
    with pytest.raises(PermanentError, match=r"models.als: NEEDS names pictures; choose from repeats, types, vectors"):
        open_run(Request("n", "files"), ingested)


def test_experiments_at_work_are_frozen_into_a_night_that_publishes(ingested: Settings) -> None:
    """Dates count: one that begins tomorrow is not at work, and a backfill has none."""
    (ingested.home / "experiments").mkdir()
    target = standing.keeper(ingested)
    moved(target, "begun", "canary")
    moved(target, "later", "running", definition={**made_experiments.FILE, "start": "2026-11-21"})
    moved(target, "over", "running", "back")
    now = made_experiments.AT
    [found] = open_run(Request("night", "files"), ingested, now).manifest.experiments
    assert (found.name, found.phase, [variant.share for variant in found.variants]) == ("begun", "canary", [0.5, 0.05])
    moved(target, "begun", "back")
    assert Run.open("night").manifest.experiments == (found,)
    assert [one.name for one in open_run(Request("next", "files"), ingested, now + timedelta(days=2)).manifest.experiments] == ["later"]
    for request in (Request("day", "files", backfill=True), Request("trial", "files", publish=False)):
        assert open_run(request, ingested, now + timedelta(days=2)).manifest.experiments == ()

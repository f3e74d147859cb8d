"""The options of a night; a run's manifest keeps the effective ones.

A model's, rule's or strategy's own options are the fields of its file's `Config`, not of this one. Both are
overridden in `<home>/hybridrec.toml`:

    [night]
    k = 20
    [models.als]
    factors = 128
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from math import inf, isnan
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError, choices
from hybridrec.base.surfaces import ALWAYS, DEFAULT_SURFACE, NAME, History, Surface
from hybridrec.base.trying import Bandit, Exploration, Objective, require_bandit, require_exploration, require_objective

Options = dict[str, bool | int | float | str]
T = TypeVar("T")
NIGHT = "night"  # the group of Config itself
SURFACES = "surfaces"
BANDIT, EXPLORATION, OBJECTIVE = TRIED = ("bandit", "exploration", "objective")
GROUPS = (NIGHT, SURFACES, *TRIED)
MAX_K = 200
EVENT_TYPES = ("impression", "view", "click", "add_to_cart", "purchase", "rating")
POSITIVE_TYPES = EVENT_TYPES[1:]  # can have a weight
# tables besides the users' lists; empty where the data cannot fill them
SIDE_TABLES = ("buy_again", "bought_together", "item_audiences", "trending")
BUYING = ("purchase", "add_to_cart")  # the first of them that there is: what is bought, else what is put into a cart
WEIGHTS, HAD_DAYS = "event_weights", "had_days"  # groups below it
FOR_EVER = 36_500.0  # days
SplitMethod = Literal[
    "time", "last_per_user", "random_per_user"
]  # what is known of time: a calendar, the order of a user's events, nothing


@dataclass(frozen=True)
class Config:
    """Hold the options of a night that belong to no single extension.

    seed: of all random numbers of a night.
    split: how held-out events are chosen: `time` (by date), `last_per_user` (only the order of a user's events is known) or
    `random_per_user` (no times are known).
    k: items per user, unless the form of the run has another number.
    pool_k: items that each model retrieves per user.
    pool_size: candidates per user; the items with the best rank in any model are kept.
    rules_depth: ranked items per user that the rules choose from.
    label_share: share of the events, the newest ones, that a label window holds. With random_per_user: half that share of each user's
    items.
    label_days_max: longest label window in days.
    min_label_events: a label window with fewer events is extended beyond label_days_max.
    min_label_users: a label window with fewer users who have a history before it is extended, to twice label_share at most; it need not
    hold more than a fifth of all who have one.
    max_label_users: labelled users that are kept per split.
    max_position_weight: largest weight of a training label at a position that few users examine; 1 switches the correction off.
    half_life_days: age in days at which an event has half its weight.
    max_events_per_day: a user with more events on one day is treated as a robot.
    max_bad_share: share of a delivery's rows that may be refused, apart from robots and repetitions; above it the table is rejected. With
    fewer than 1,000 rows half may be refused, and events of unknown items may be half of any delivery; 0 allows none.
    wait_days: days that events of unknown items wait for the catalogue.
    min_kept_share: share of the rows of the last accepted table that a new one must have.
    liked_from: a lower rating means that the user had the item but did not like it; 0 means half of the largest rating in the data.
    max_event_age_days: largest age in days of the newest event at landing; 0 allows any age.
    light_max_items: longest history of a light user.
    bootstrap_samples: resamples of users for each confidence interval.
    gate_tolerance: NDCG that a challenger may lose against the champion, at the lower end of the interval.
    min_live_overlap: smallest share of list entries in common with the live version; a smaller one stops publishing.
    max_lost_share: largest share of the live version's users without a list; a larger one stops publishing.
    min_coverage: smallest share of the catalogue that is in some list; a smaller one stops publishing.
    max_fallback_share: largest share of users with the fallback list; a larger one stops publishing.
    max_item_share: largest share of lists with the same item; a larger one stops publishing.
    warn_item_share: the report warns if an item is in a larger share of the lists; 0 never warns.
    warn_concentration: the report warns if half of all list entries fall on so many times fewer items than half of all histories; 0 never
    warns.
    warn_fallback_share: the report warns if a larger share of users has the fallback list; 0 never warns.
    warn_event_age_days: the report warns if the newest event is older when the report is written; 0 never warns.
    keep_versions: published versions that are kept for a rollback.
    valid_days: days after which a published version is stale.
    event_weights: weight of one event of each type.
    had_days: days for which an event of each type makes its item one that the user has had, and gets in no list: 0 never, inf for ever;
    below 0 the data decide.
    repeat_share: where the data decide, people choose again if at least this share of the newest choices is of pairs that had such an event
    before; then the type has 0 days, else it counts for ever.
    attribution_days: days after which no event counts any more for a list that the look-up has served; a younger list is not judged.
    label_types: types of events that are labels; none for all with a weight.
    consumable_categories: items of these categories can be chosen again at once, like those that the catalogue calls consumable.
    side_tables: tables besides the lists that are made; another one is published empty.

    A night never searches for options, so no option configures a search: it uses the newest result of tune_models for the models' options
    that hybridrec.toml does not set.
    """

    seed: int = 20261122
    split: SplitMethod = "time"
    k: int = 20
    pool_k: int = 100
    pool_size: int = 300
    rules_depth: int = 200
    label_share: float = 0.2
    label_days_max: int = 60
    min_label_events: int = 10_000
    min_label_users: int = 100
    max_label_users: int = 6_000
    max_position_weight: float = 5.0
    half_life_days: float = 180.0
    max_events_per_day: int = 10_000
    max_bad_share: float = 0.1
    wait_days: int = 30
    min_kept_share: float = 0.5
    liked_from: float = 0.0
    max_event_age_days: int = 0
    light_max_items: int = 20
    bootstrap_samples: int = 1_000
    gate_tolerance: float = 0.02
    min_live_overlap: float = 0.02
    max_lost_share: float = 0.1
    min_coverage: float = 0.02
    max_fallback_share: float = 0.5
    max_item_share: float = 0.95
    warn_item_share: float = 0.1
    warn_concentration: float = 3.0
    warn_fallback_share: float = 0.2
    warn_event_age_days: float = 3.0
    keep_versions: int = 5
    valid_days: float = 2.0
    event_weights: dict[str, float] = field(
        default_factory=lambda: {"view": 0.2, "click": 0.5, "add_to_cart": 0.8, "purchase": 1.0, "rating": 1.0}
    )
    had_days: dict[str, float] = field(default_factory=lambda: dict.fromkeys(POSITIVE_TYPES, -1.0))
    repeat_share: float = 0.1
    attribution_days: float = 7.0
    label_types: list[str] = field(default_factory=list)
    consumable_categories: list[str] = field(default_factory=list)
    side_tables: list[str] = field(default_factory=lambda: list(SIDE_TABLES))
    extension_options: dict[str, dict[str, Options]] = field(default_factory=dict)
    surfaces: dict[str, Surface] = field(default_factory=dict)
    bandit: Bandit = field(default_factory=Bandit)
    exploration: Exploration = field(default_factory=Exploration)
    objective: Objective = field(default_factory=Objective)

    def options(self, folder: str, name: str) -> Options:
        """Return overrides for an extension."""
        return self.extension_options.get(folder, {}).get(name, {})

    def on_surface(self, name: str) -> Config:
        """Return the options with the k and the rules' options of a surface."""
        surface = self.surfaces[name]
        rules = self.extension_options.get("rules", {})
        rules = rules | {rule: rules.get(rule, {}) | options for rule, options in surface.rules.items()}
        return replace(self, k=surface.k or self.k, extension_options={**self.extension_options, "rules": rules})


def stored_config(raw: dict[str, Any]) -> Config:
    """Return the options of a run as its run.json holds them; those of extensions were called members before decision 65."""
    from pydantic import TypeAdapter

    named = {"extension_options" if name == "members" else name: value for name, value in raw.items()}
    return TypeAdapter(Config).validate_python(named)


def read_config(path: Path) -> Config:
    """Return the defaults with the overrides of a TOML file, if any; PermanentError names an unknown group, extension or option."""
    if not path.exists():
        return Config()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a byte order mark
    except (ValueError, OSError) as error:  # no TOML, no text, or a folder
        raise PermanentError(f"{path}: it cannot be read as TOML: {error}") from None
    night = _group(raw.pop(NIGHT, {}), f"{path} [{NIGHT}]")
    if WEIGHTS in night:
        night = night | {WEIGHTS: Config().event_weights | _by_type(night[WEIGHTS], f"{path} [{NIGHT}.{WEIGHTS}]", 0.0)}
    if HAD_DAYS in night:
        days = _by_type(night[HAD_DAYS], f"{path} [{NIGHT}.{HAD_DAYS}]", -FOR_EVER, FOR_EVER, POSITIVE_TYPES)
        night = night | {HAD_DAYS: Config().had_days | days}
    surfaces = _group(raw.pop(SURFACES, {}), f"{path} [{SURFACES}]")
    tried = {name: _group(raw.pop(name, {}), f"{path} [{name}]") for name in TRIED}
    _require_known_groups(raw, path)
    config = replace(with_options(Config(), night, f"{path} [{NIGHT}]"), extension_options=raw)
    config = _with_tried(config, tried, path)
    config = replace(config, surfaces={name: _surface(name, surfaces[name], f"{path} [{SURFACES}.{name}]") for name in sorted(surfaces)})
    _require_purposes(config, f"{path} [{NIGHT}]")
    for name in config.side_tables:
        if name not in SIDE_TABLES:
            raise PermanentError(f"{path} [{NIGHT}] side_tables: there is no table {name!r}; {choices(str(name), SIDE_TABLES)}")
    return config


def _with_tried(config: Config, tried: dict[str, dict[str, Any]], path: Path) -> Config:
    """Return the options with the groups of what the night tries out."""
    bandit = with_options(config.bandit, tried[BANDIT], f"{path} [{BANDIT}]")
    exploration = with_options(config.exploration, tried[EXPLORATION], f"{path} [{EXPLORATION}]")
    objective = with_options(config.objective, tried[OBJECTIVE], f"{path} [{OBJECTIVE}]")
    require_bandit(bandit, f"{path} [{BANDIT}]")
    require_exploration(exploration, f"{path} [{EXPLORATION}]")
    require_objective(objective, f"{path} [{OBJECTIVE}]")
    return replace(config, bandit=bandit, exploration=exploration, objective=objective)


def _require_purposes(config: Config, where: str) -> None:
    for name in config.label_types:
        _require_type(name, f"{where} label_types", POSITIVE_TYPES)
        if not config.event_weights.get(name, 0.0) > 0:
            raise PermanentError(
                f"{where} label_types: {name} has no weight in event_weights, so it is no label; remove it, or give it one"
            )
    short = sorted(name for name, days in config.had_days.items() if 0 <= days < FOR_EVER)
    if config.split != "time" and (short or config.consumable_categories):
        named = f"had_days.{short[0]}" if short else "consumable_categories"
        raise PermanentError(f"{where}: {named} needs times of events, and split {config.split} says that there are none; remove it")


def _by_type(value: Any, where: str, low: float, high: float = inf, known: tuple[str, ...] = EVENT_TYPES) -> dict[str, float]:
    """Return a group of numbers by event type; PermanentError for a type that no event has, which would mean nothing anywhere.

    low, high: limits of the numbers, the high one excluded if it is infinite; larger numbers are cut to a finite one.
    """
    numbers = _group(value, where)
    for name, number in numbers.items():
        _require_type(name, where, known)
        real = isinstance(number, int | float) and not isinstance(number, bool) and not isnan(number)
        if not real or number < low or (number == high == inf):
            raise PermanentError(f"{where}: {name} is {number!r}, expected a number" + (" from 0 on" if low == 0 else ""))
    return {name: float(min(number, high)) if high < inf else number for name, number in numbers.items()}


def _require_type(name: object, where: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise PermanentError(f"{where}: there is no event type {name!r}; {choices(str(name), known)}")


def _surface(name: str, value: Any, where: str) -> Surface:
    """Return a surface; PermanentError for a name that no reader could ask for, or an option that means nothing."""
    if name == DEFAULT_SURFACE:
        raise PermanentError(f"{where}: it is the night's own list, which [{NIGHT}] and [rules] configure; remove the group")
    if not NAME.fullmatch(name):
        raise PermanentError(f"{where}: a surface's name has lower-case letters, digits and '_', at most 40, as [{SURFACES}.email]")
    surface = with_options(Surface(), _group(value, where), where)
    if surface.history not in get_args(History):
        raise PermanentError(f"{where}: history is {surface.history!r}; {choices(surface.history, get_args(History))}")
    if not 0 <= surface.k <= MAX_K:
        raise PermanentError(f"{where}: k is {surface.k}, expected 1 to {MAX_K}, or 0 for the night's")
    for option in ("only_categories", "not_categories", "without_rules"):
        if not all(isinstance(one, str) for one in getattr(surface, option)):
            raise PermanentError(f"{where}: {option} is {getattr(surface, option)!r}, expected names")
    if both := sorted(set(surface.only_categories) & set(surface.not_categories)):
        raise PermanentError(f"{where}: {both[0]!r} is in only_categories and in not_categories; remove it from one of them")
    _require_rules(surface, where)
    return surface


def _require_rules(surface: Surface, where: str) -> None:
    known = extensions.all_names("rules")
    for rule in (*surface.without_rules, *surface.rules):
        if rule not in known:
            raise PermanentError(f"{where}: there is no rule {rule!r}; {choices(rule, known)}")
        _group(surface.rules.get(rule, {}), f"{where} rules.{rule}")
    for rule in surface.without_rules:
        if rule in ALWAYS:
            raise PermanentError(f"{where}: without_rules names {rule}, but no list may do without {' and '.join(ALWAYS)}; remove it")
        if rule in surface.rules:
            raise PermanentError(f"{where}: {rule} has options, but without_rules names it; remove one of them")


def require_known_options(config: Config, where: str) -> None:
    """Raise PermanentError if an option of an extension, as under [models.als], is not a field of its Config, if it is not switched off."""
    for surface in config.surfaces:
        require_known_options(replace(config.on_surface(surface), surfaces={}), f"{where} [{SURFACES}.{surface}], with the night's")
    for folder, options_by_name in config.extension_options.items():
        for name in options_by_name.keys() & set(extensions.names(folder)):
            module, group = extensions.module(folder, name), f"{where} [{folder}.{name}]"
            if not hasattr(module, "Config"):
                raise PermanentError(f"{group}: it has no options; remove the group")
            with_options(module.Config(), options_by_name[name], group)


def _require_known_groups(raw: dict[str, Any], path: Path) -> None:
    """Raise PermanentError for an unknown group: its options would be ignored silently."""
    for folder, options_by_name in raw.items():
        if folder not in extensions.FOLDERS:
            raise PermanentError(f"{path}: there is no group [{folder}]; {choices(folder, (*GROUPS, *extensions.FOLDERS))}")
        known = extensions.all_names(folder)
        for name, options in _group(options_by_name, f"{path} [{folder}]").items():
            if name not in known:
                raise PermanentError(f"{path}: there is no group [{folder}.{name}]; {choices(name, known)}")
            _group(options, f"{path} [{folder}.{name}]")


def _group(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PermanentError(f"{where}: it is {value!r}, expected a group of options, as [models.als] with factors = 128 below it")
    return value


def with_options(default: T, options: Options, where: str) -> T:
    """Return a copy of a config dataclass with some fields replaced; PermanentError names an unknown field or a wrong type."""
    known = {f.name: getattr(default, f.name) for f in fields(default)}  # type: ignore[arg-type]
    for name, value in options.items():
        if name not in known:
            raise PermanentError(f"{where}: there is no option {name!r}; {choices(name, known)}")
        number = isinstance(known[name], float) and isinstance(value, int) and not isinstance(value, bool)
        if not number and type(value) is not type(known[name]):
            raise PermanentError(f"{where}: {name} is {value!r}, expected {type(known[name]).__name__}")
    return replace(default, **options)  # type: ignore[type-var]

"""Definitions of experiments: one file each, `<home>/experiments/<name>.toml`, refused with a sentence if it could not be run as it says.

hypothesis = "Without MMR people click more"
outcome = "clicks"
minimum_effect = 0.03
horizon_days = 14
start = 2026-12-01
[variants.control]
share = 0.5
[variants.no_mmr]
share = 0.5
without_rules = ["mmr"]
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hybridrec.assignment.buckets import AA, LAYER_SALT
from hybridrec.assignment.variants import CONTROL, Phase, RunningExperiment, Variant
from hybridrec.base import extensions
from hybridrec.base.config import MAX_K, Config, require_known_options
from hybridrec.base.errors import PermanentError, choices
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import ALWAYS, NAME
from hybridrec.experiments.outcomes import OUTCOMES

MOST_VARIANTS = 4
CANARY_SHARE = 0.05
FOLDER = "experiments"


class VariantFile(BaseModel):
    """A variant as the file has it; the control has a share and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    share: float = Field(gt=0, le=1)
    strategy: str = ""
    k: int = Field(default=0, ge=0, le=MAX_K)
    without_rules: list[str] = []
    rules: dict[str, dict[str, bool | int | float | str]] = {}


class Definition(BaseModel):
    """An experiment as the file has it.

    minimum_effect: the smallest uplift worth having, of the control's figure, 0.03 for 3 %. guardrails: outcomes and the share of each that
    may be lost. part: the part of the layer of experiments that it takes, from and to, so that two can run at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    hypothesis: str = Field(min_length=10, max_length=500)
    outcome: str
    minimum_effect: float = Field(gt=0, le=10)
    horizon_days: int = Field(ge=1, le=120)
    start: date
    variants: dict[str, VariantFile]
    unit: Literal["user"] = "user"
    guardrails: dict[str, float] = {}
    part: tuple[float, float] = (0.0, 1.0)
    salt: str = Field(default="", max_length=80)

    @property
    def starts_at(self) -> datetime:
        """Midnight UTC of its first day."""
        return datetime.combine(self.start, time(), UTC)

    @property
    def ends_at(self) -> datetime:
        """The end of its last day."""
        return self.starts_at + timedelta(days=self.horizon_days)

    def running(self, name: str, phase: Phase) -> RunningExperiment:
        """Return what a night needs of it; in a canary all variants but the control have at most CANARY_SHARE."""
        variants = tuple(_variant(variant, self.variants[variant], phase) for variant in self.names)
        return RunningExperiment(name, self.salt or name, phase, self.part, variants)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variants, the control first; their order says their buckets."""
        return (CONTROL, *sorted(set(self.variants) - {CONTROL}))


def _variant(name: str, file: VariantFile, phase: Phase) -> Variant:
    share = min(file.share, CANARY_SHARE) if phase == "canary" and name != CONTROL else file.share
    return Variant(name, share, file.strategy, file.k, tuple(file.without_rules), file.rules)


def names(settings: Settings) -> tuple[str, ...]:
    """List the experiments that have a file."""
    return tuple(sorted(path.stem for path in (settings.home / FOLDER).glob("*.toml")))


def read_definition(name: str, settings: Settings) -> Definition:
    """Return the checked definition of that name; PermanentError says what is wrong with it and what would be right."""
    path = settings.home / FOLDER / f"{name}.toml"
    if not NAME.fullmatch(name) or name == AA:
        raise PermanentError(f"experiment {name!r}: lower-case letters, digits and '_' only, at most 40, and not {AA!r}")
    if not path.is_file():
        raise PermanentError(f"{path} does not exist; {choices(name, names(settings))}")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise PermanentError(f"{path}: it cannot be read as TOML: {error}") from None
    return definition_of(raw, str(path))


def definition_of(raw: dict[str, Any], where: str) -> Definition:
    """Return the checked definition; where: begins each sentence."""
    try:
        definition = Definition.model_validate(raw)
    except ValidationError as error:
        raise PermanentError(f"{where}: {_sentence(error)}") from None
    _require_variants(definition, where)
    _require_outcomes(definition, where)
    if definition.salt in (LAYER_SALT, AA):
        raise PermanentError(f"{where}: salt is {definition.salt!r}, by which layers are made; choose another one, or leave it out")
    low, high = definition.part
    if not 0 <= low < high <= 1:
        raise PermanentError(f"{where}: part is {list(definition.part)}, expected from and to between 0 and 1, as [0.0, 0.5]")
    return definition


def require_not_past(definition: Definition, where: str, now: datetime) -> None:
    """Raise PermanentError for an experiment that should have begun before today: those days have no data of it."""
    if definition.start < now.date():
        raise PermanentError(f"{where}: start is {definition.start}, which is in the past; give a day from {now:%Y-%m-%d} on")


def require_no_overlap(name: str, definition: Definition, others: dict[str, Definition], where: str) -> None:
    """Raise PermanentError if another experiment that is at work takes some of the same users. others: by name."""
    for other, theirs in sorted(others.items()):
        low, high = max(definition.part[0], theirs.part[0]), min(definition.part[1], theirs.part[1])
        if other != name and low < high:
            raise PermanentError(
                f"{where}: it overlaps with the experiment {other}, which has the part {list(theirs.part)} of the users; end that one with"
                " the DAG decide_experiment, or give both a part that the other has not, as part = [0.5, 1.0]"
            )


def _require_variants(definition: Definition, where: str) -> None:
    variants = definition.variants
    if CONTROL not in variants or len(variants) < 2:
        raise PermanentError(f"{where}: variants are {', '.join(variants) or 'none'}; expected {CONTROL!r} and at least one other")
    if len(variants) > MOST_VARIANTS:
        raise PermanentError(
            f"{where}: it has {len(variants)} variants, at most {MOST_VARIANTS} are compared at a time: each more needs more users"
        )
    total = sum(variant.share for variant in variants.values())
    if total > 1 + 1e-9:
        raise PermanentError(f"{where}: the shares add up to {total:g}, which is more than all users; expected at most 1")
    for name, variant in variants.items():
        if not NAME.fullmatch(name):
            raise PermanentError(f"{where}: variant {name!r}: lower-case letters, digits and '_' only, at most 40")
        if variant.share > 1 / len(variants) + 1e-9:
            raise PermanentError(
                f"{where}: {name} has the share {variant.share:g}; with {len(variants)} variants each may grow to {1 / len(variants):.3g},"
                " so that a larger share moves no user to another variant"
            )
        _require_options(definition, name, f"{where} [variants.{name}]")


def _require_options(definition: Definition, name: str, where: str) -> None:
    """Raise PermanentError if a variant's options mean nothing, or none of them differs from the night's."""
    variant = _variant(name, definition.variants[name], "running")
    if name == CONTROL and variant.differs:
        raise PermanentError(f"{where}: the control has the night's own lists; give its options to another variant")
    if name != CONTROL and not variant.differs:
        raise PermanentError(f"{where}: no option differs from the control; give it strategy, k, without_rules or rules")
    known = extensions.names("strategies")
    if variant.strategy and variant.strategy not in known:
        raise PermanentError(f"{where}: there is no strategy {variant.strategy!r}; {choices(variant.strategy, known)}")
    rules = extensions.names("rules")
    for rule in (*variant.without_rules, *variant.rules):
        if rule not in rules:
            raise PermanentError(f"{where}: there is no rule {rule!r}; {choices(rule, rules)}")
    for rule in variant.without_rules:
        if rule in ALWAYS:
            raise PermanentError(f"{where}: without_rules names {rule}, but no list may do without {' and '.join(ALWAYS)}; remove it")
    require_known_options(Config(extension_options={"rules": variant.rules}), where)


def _require_outcomes(definition: Definition, where: str) -> None:
    for name in (definition.outcome, *definition.guardrails):
        if name not in OUTCOMES:
            raise PermanentError(f"{where}: there is no outcome {name!r}; {choices(name, OUTCOMES)}")
    if definition.outcome in definition.guardrails:
        raise PermanentError(f"{where}: guardrails names {definition.outcome}, which is the outcome that decides; remove it there")
    for name, loss in definition.guardrails.items():
        if not 0 <= loss < 1:
            raise PermanentError(f"{where}: guardrails.{name} is {loss:g}, expected the share that may be lost, from 0 to below 1")


def _sentence(error: ValidationError) -> str:
    """Return a complaint as a sentence that names the option; an unknown one first, since a missing one may be the same misspelt."""
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        fields = VariantFile.model_fields if first["loc"][0] == "variants" else Definition.model_fields
        return f"there is no option {place!r}; {choices(str(first['loc'][-1]), fields)}"
    if first["type"] == "missing":
        return f"{place} is missing; see docs/experiments.md for a file with all options"
    shown = repr(first["input"])[:60]
    return f"{place} is {shown}: {first['msg'][0].lower()}{first['msg'][1:]}"

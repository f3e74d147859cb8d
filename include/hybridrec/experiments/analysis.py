"""The nightly analysis: each variant against the control, with an interval that holds although every night looks.

An experiment that runs is decided by group-sequential bounds; time is the share of its horizon that has passed. A user's outcome grows
from night to night by parts that hardly depend on each other, so the statistics of two nights are correlated as those of a sum over time.
Lasting differences between users make the correlation larger, and the bounds only safer. A canary and the permanent A/A have no
horizon, so a confidence sequence guards them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.assignment.buckets import AA, AA_ARMS
from hybridrec.base.errors import PermanentError
from hybridrec.experiments.alarms import ALARM_BELOW, SampleRatio, guard, sample_ratio
from hybridrec.experiments.bounds import ALPHA, bounds
from hybridrec.experiments.definitions import Definition
from hybridrec.experiments.estimates import Covariate, Difference, difference_of_means, difference_of_ratios, with_cuped
from hybridrec.experiments.feedback import Users, covariate_of, feedback_files, first_served_to_others, users_of, users_of_aa
from hybridrec.experiments.outcomes import OUTCOMES
from hybridrec.experiments.sequence import multiplier
from hybridrec.experiments.standing import as_running, frozen_definition
from hybridrec.versions.experiment_states import ExperimentState

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

CANARY_DAYS = 3.0  # at which a canary's interval is tightest
AA_DAYS = 14.0
MIN_USERS = 100  # in each arm: intervals rest on sums of many; with ten users a canary goes back in a quarter of all A/A tests
DAY = timedelta(days=1)
AA_OUTCOMES = ("clicks", "click_rate")
Row = dict[str, object]


class Checks(NamedTuple):
    """Checks of an experiment before any of its figures counts. reported_p: the smallest p-value of the arms' reported lists."""

    ratio: SampleRatio
    reported_p: float


class Arm(NamedTuple):
    """A variant beside the control, arm 0, among the users of its experiment. number: of its arm."""

    experiment: str
    variant: str
    number: int
    users: Users
    checks: Checks


class Look(NamedTuple):
    """A look at an experiment: how often there was one, and how many standard errors decide. fraction: of the horizon, None without."""

    phase: str
    since: datetime
    until: datetime
    number: int
    fraction: float | None
    limit: float

    @property
    def is_over(self) -> bool:
        """Whether the horizon is reached."""
        return self.fraction is not None and self.fraction >= 1


def analyse(run: Run, states: Sequence[ExperimentState]) -> pa.Table:
    """Return out_experiments of the experiments that run or are canaries, and of the permanent A/A."""
    import pyarrow as pa

    from hybridrec.tables import table

    files = feedback_files(run)
    rows: list[Row] = _aa_rows(files)
    for state in states:
        if state.state in ("canary", "running"):
            rows += _rows(run, files, state)
    schema = table("out_experiments").arrow_schema()
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["experiment"], row["variant"], row["outcome"])), schema=schema)


def look_at(state: ExperimentState, definition: Definition, since: datetime, until: datetime) -> Look:
    """Return the look at the feedback until then, at most the end of the horizon: each further look would decide by chance.

    A night that was left out counts as a look: its bound is as if it had been one.
    """
    days = max((until - since) / DAY, 1e-9)
    number = max(ceil(days - 1e-9), 1)
    alpha = ALPHA / (len(definition.names) - 1)  # Bonferroni: the error is that of all variants together
    if state.state == "canary":
        return Look("canary", since, until, number, None, float(multiplier(days, CANARY_DAYS, alpha)))
    horizon = definition.horizon_days
    fractions = [night / horizon for night in range(1, min(number, horizon))] + [min(days / horizon, 1.0)]
    return Look("running", since, until, number, fractions[-1], float(bounds(fractions, alpha)[-1]))


def harm(rows: Sequence[Row]) -> str:
    """Return a sentence about the first figure of a canary's rows that is surely worse; "" while none is."""
    hurt = [row for row in rows if row["phase"] == "canary" and row["verdict"] in ("worse", "hurt")]
    return str(hurt[0]["sentence"]) if hurt else ""


def why_over(rows: Sequence[Row]) -> str:
    """Return the sentence that decides a running experiment, from its rows; "" while it is open or broken."""
    of_test = [row for row in rows if row["phase"] == "running" and row["role"] == "decides"]
    over = [row for row in of_test if row["verdict"] in ("better", "worse", "over")]
    return str(over[0]["sentence"]) if over else ""


def _rows(run: Run, files: Sequence[str], state: ExperimentState) -> list[Row]:
    definition = frozen_definition(state)
    running, since = as_running(state), counted_since(files, state, definition)
    end = since + timedelta(days=definition.horizon_days) if since and state.state == "running" else None
    users = None if since is None else users_of(files, running, since, end)
    if since is None or users is None or users.until is None:
        return []
    is_over = end is not None and run.manifest.as_of - timedelta(days=run.config.attribution_days) >= end
    look = look_at(state, definition, since, end if end and is_over else users.until)
    checks = _checks(users, [variant.share for variant in running.variants])
    covariate = covariate_of(run, users, state.started_at)
    rows = []
    for number, variant in enumerate(running.variants[1:], start=1):
        arm = Arm(state.experiment, variant.name, number, users, checks)
        for outcome, loss in {**definition.guardrails, definition.outcome: None}.items():
            found = difference(users, number, outcome, covariate, state.started_at)
            rows.append(_row(arm, outcome, loss, look, found))
    return rows


def counted_since(files: Sequence[str], state: ExperimentState, definition: Definition) -> datetime | None:
    """Return the start of the feedback that counts: the phase's, and after a canary the first list of a version with the larger shares."""
    running, canary = definition.running(state.experiment, "running"), definition.running(state.experiment, "canary")
    if state.state != "running" or state.since == state.started_at or running.variants == canary.variants:
        return state.since
    return first_served_to_others(files, canary, state.since)


def _aa_rows(files: Sequence[str]) -> list[Row]:
    users = users_of_aa(files)
    if users.until is None:
        return []
    since = users.first or users.until
    days = max((users.until - since) / DAY, 1e-9)
    look = Look("always", since, users.until, max(ceil(days), 1), None, float(multiplier(days, AA_DAYS)))
    arm = Arm(AA, AA_ARMS[1], 1, users, _checks(users, [1.0, 1.0]))
    return [_row(arm, outcome, None, look, difference(users, 1, outcome, None, since)) for outcome in AA_OUTCOMES]


def _checks(users: Users, shares: Sequence[float]) -> Checks:
    """Return the check of the users' ratio, and of the share of lists whose impression came back: an arm that loses events has fewer."""
    counts = np.bincount(users.arms, minlength=len(shares)).astype(np.float64)
    arms = [(users.sums["reported"][users.of_arm(number)], users.sums["lists"][users.of_arm(number)]) for number in range(len(shares))]
    enough = [len(lists) > 1 and lists.sum() > 0 for _, lists in arms]
    reported = [difference_of_ratios(arms[0], arm).p_value for arm, known in zip(arms[1:], enough[1:], strict=True) if known and enough[0]]
    return Checks(sample_ratio(counts, np.array(shares)), min(reported, default=1.0))


def difference(users: Users, number: int, outcome: str, covariate: Covariate | None, assigned_from: datetime) -> Difference | None:
    """Return variant minus control (arm 0); None while an arm has too few users, or nothing was shown to one."""
    control, treated = users.of_arm(0), users.of_arm(number)
    if min(control.sum(), treated.sum()) < MIN_USERS:
        return None
    both = control | treated
    numerator = users.sums[OUTCOMES[outcome].numerator]
    try:
        if denominator := OUTCOMES[outcome].denominator:
            shown = users.sums[denominator]
            return difference_of_ratios((numerator[control], shown[control]), (numerator[treated], shown[treated]))
        if covariate is None:
            return difference_of_means(numerator[control], numerator[treated])
        return with_cuped(numerator[both], treated[both], Covariate(covariate.values[both], covariate.measured_until), assigned_from)
    except PermanentError as error:
        if "the covariate is measured" in str(error):
            raise
        return None


def _row(arm: Arm, outcome: str, loss: float | None, look: Look, found: Difference | None) -> Row:
    """Return a row of out_experiments. loss: that a guardrail allows, None for the outcome that decides."""
    verdict, sentence = _verdict(arm, outcome, loss, look, found)
    figures: dict[str, object] = dict.fromkeys(("control", "treatment", "estimate", "low", "high", "z"))
    if found is not None:
        low, high = found.interval(look.limit)
        figures = {"control": found.control, "treatment": found.treatment, "estimate": found.estimate, "z": found.z}
        figures |= {"low": low if isfinite(low) else None, "high": high if isfinite(high) else None}
    return {
        "experiment": arm.experiment,
        "variant": arm.variant,
        "outcome": outcome,
        "role": "decides" if loss is None else "guardrail",
        "phase": look.phase,
        "since": look.since,
        "until": look.until,
        "look": look.number,
        "fraction": look.fraction,
        "n_control": int(arm.users.of_arm(0).sum()),
        "n_variant": int(arm.users.of_arm(arm.number).sum()),
        "bound": look.limit if isfinite(look.limit) else None,
        "with_cuped": arm.experiment != AA and not OUTCOMES[outcome].denominator,
        "sample_ratio_p": arm.checks.ratio.p_value,
        "reported_p": arm.checks.reported_p,
        "n_moved": arm.users.n_moved,
        "verdict": verdict,
        "sentence": sentence,
        **figures,
    }


def _verdict(arm: Arm, outcome: str, loss: float | None, look: Look, found: Difference | None) -> tuple[str, str]:
    ratio, reported_p = arm.checks
    if ratio.alarm:
        told = f"p {ratio.p_value:.2g}, alarm below {ALARM_BELOW:g}"
        return "broken", f"the users of the variants are not in the ratio of the shares ({told}): users were lost"
    if reported_p < ALARM_BELOW:
        told = f"p {reported_p:.2g}, alarm below {ALARM_BELOW:g}"
        return "broken", f"the variants have impressions of different shares of their lists ({told}): events were lost"
    if arm.users.n_moved:
        return "broken", f"{arm.users.n_moved} users have feedback of several variants; expected one for each user"
    if found is None:
        return ("open" if loss is None else "unclear"), "too few users with feedback"
    low, high = found.interval(look.limit)
    told = f"{outcome} {found.control:.4g} and {found.treatment:.4g}, difference {found.estimate:+.3g} ({low:+.3g} to {high:+.3g})"
    if loss is not None:
        state = guard(found, look.limit, loss)
        word = {"kept": "kept", "broken": "hurt", "unclear": "unclear"}[state]
        return word, f"{told}: guardrail, at most {loss:.1%} may be lost"
    if abs(found.z) >= look.limit:
        word = "better" if found.estimate > 0 else "worse"
        return word, f"{told}: surely {word}, z {found.z:+.2f} beyond {look.limit:.2f}"
    if look.is_over:
        return "over", f"{told}: the horizon is reached, and no bound is crossed"
    return "open", f"{told}: z {found.z:+.2f} within {look.limit:.2f}"

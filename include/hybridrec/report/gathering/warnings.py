"""Collect the warnings of a night, each with its figure, its limit and a remedy."""

from __future__ import annotations

from collections.abc import Iterator

from hybridrec.ingest.served import LOST, ORPHAN_CLICKS, TWO_USERS
from hybridrec.report.facts import Facts, Notice, TableQuality
from hybridrec.report.list_facts import Exposure, Lists
from hybridrec.report.story import per_cent

NOT_OK = {"failed": "failed", "bad_data": "refused its input", "running": "left no record of its end"}
ORPHANS_ALLOWED = 0.02  # of the clicks that name a recommendation
UNLEARNT = "Items with users after the judged cut have more categories than others that were as popular before it"


def warnings(facts: Facts) -> tuple[Notice, ...]:
    """Return all warnings, the most serious first."""
    kinds = (_tasks, _feedback, _quality, _output, _gate, _news, _bandit, _lists, _models, _data)
    return tuple(notice for notices_of in kinds for notice in notices_of(facts))


def _tasks(facts: Facts) -> Iterator[Notice]:
    for step in facts.steps:
        if step.state in NOT_OK and not (facts.failure and step.name == facts.failure.task):
            remedy = "The night continues without a model that fails; read its log, fix the cause and clear the task with downstream."
            if not step.name.startswith("train_model"):
                remedy = "Read its log, fix the cause and clear the task with downstream."
            yield Notice(
                f"Task {step.name} {NOT_OK[step.state]}", (step.said or "its log says why").removesuffix("."), "no task fails", remedy
            )
    for name in facts.missing_sources:
        figure, remedy = "it is not fitted on all splits, so no list holds its candidates", "Clear its train_model tasks with downstream."
        yield Notice(f"Model {name} dropped out", figure, "no model drops out", remedy)


def _quality(facts: Facts) -> Iterator[Notice]:
    served = facts.served
    if served and served.high < 0:
        figure = f"{served.metric} {served.difference:+.4f}, 95 % interval {served.low:+.4f} to {served.high:+.4f}"
        remedy = "See Comparisons for the segments; if it repeats for several nights, publish that model alone for them."
        yield Notice(f"The lists are worse than the best single model, {served.best}", figure, "an interval that lies below 0", remedy)


def _feedback(facts: Facts) -> Iterator[Notice]:
    """Yield alarms about the log of what was served: figures that follow from it would be wrong."""
    if not facts.feedback:
        return
    landed, figures = facts.feedback.landed, facts.feedback.figures
    if n := max(figures.two_users, landed.get(TWO_USERS, 0)):
        remedy = "Something between the look-up and its users keeps answers: it must respect Cache-Control: no-store (docs/feedback.md)."
        yield Notice("A recommendation_id has two users: answers were cached", f"{n:,} lists", "0 lists", remedy)
    if n := landed.get(LOST, 0):
        remedy = "Look at /health of the look-up, at its disk, and for kills of its process."
        yield Notice("Lines of the look-up's log are lost", f"{n:,} since the ingest before", "0 lines", remedy)
    orphans, clicks = figures.orphan_clicks + landed.get(ORPHAN_CLICKS, 0), figures.clicks + landed.get(ORPHAN_CLICKS, 0)
    if orphans > ORPHANS_ALLOWED * clicks:
        remedy = "Check that callers send the recommendation_id of the answer that they show, and that every look-up's log is landed."
        yield Notice(
            "Clicks name recommendations that are not known", f"{orphans:,} of {clicks:,} clicks", per_cent(ORPHANS_ALLOWED), remedy
        )


def _output(facts: Facts) -> Iterator[Notice]:
    checks = facts.output_checks
    for check in checks.checks if checks else ():
        if not check.passed:
            (name, _, meaning), (value, _, bound) = check.name.partition(": "), check.detail.partition(", ")
            overridden = checks.override_reason if checks else ""
            remedy = f"A person has overridden it: {overridden}" if overridden else "Nothing is published until it passes."
            yield Notice(f"Output check {name} failed", f"{meaning}: {value}", bound, remedy)


def _gate(facts: Facts) -> Iterator[Notice]:
    if facts.gate and not facts.gate.promoted:
        remedy = "See The gate: its comparisons say where the challenger lost. The next night tries again."
        yield Notice(
            "The gate did not promote this night's model bundle",
            facts.gate.reasons[-1],
            f"gate_tolerance {facts.options['gate_tolerance']}",
            remedy,
        )


def _news(facts: Facts) -> Iterator[Notice]:
    limit, age = facts.limits.event_age_days, facts.newest_event_age_days
    if limit and age is not None and age > limit:
        figure = f"{facts.newest_event}, {days(age)} before this report was written"
        remedy = (
            "Run ingest and check the newest delivery. This is expected for a past date or data that no longer grow: "
            "warn_event_age_days = 0 in hybridrec.toml [night] silences it."
        )
        yield Notice("The newest event that the models saw is old", figure, f"{limit:g} days (warn_event_age_days)", remedy)
    if facts.before and facts.before.same_lists:
        figure = f"content hash as in version {facts.before.version} of run {facts.before.run_id}"
        yield Notice(
            "The lists equal the previously live ones, row for row", figure, "no night repeats the one before", _same_remedy(facts)
        )
    elif facts.before and facts.before.same_inputs:
        figure = f"events, items and users are those of run {facts.before.run_id}"
        yield Notice(
            "This night had the same data as the previously live one", figure, "no night repeats the one before", _same_remedy(facts)
        )


def _bandit(facts: Facts) -> Iterator[Notice]:
    bandit, limit = facts.bandit, facts.limits.event_age_days
    if bandit and limit and bandit.newest_age_days > limit:
        figure = f"{bandit.newest}, {days(bandit.newest_age_days)} before as_of"
        remedy = "Check that look-ups log what they serve and that ingest lands the log; or remove [bandit.arms] from hybridrec.toml."
        yield Notice("The newest draw that the bandit has learnt from is old", figure, f"{limit:g} days (warn_event_age_days)", remedy)


def _same_remedy(facts: Facts) -> str:
    if facts.before and facts.before.same_inputs:
        return "Check whether ingest has run since, and whether new data were delivered."
    return "Check this night's options, models and input."


def _lists(facts: Facts) -> Iterator[Notice]:
    if not facts.lists:
        return
    yield from _one_item(facts.lists, facts.limits.item_share)
    published, histories = facts.lists.exposures
    yield from _concentration(published, histories, facts.limits.concentration)
    for why, n in facts.lists.by_shortfall.items():
        users = "1 user has" if n == 1 else f"{n:,} users have"
        yield Notice(
            f"{users} fewer than {facts.k} items", why, f"{facts.k} items each", "More items, fewer rules or a smaller k would fill them."
        )
    fallback, limit = facts.lists.by_how.get("fallback", 0) / max(facts.lists.n_users, 1), facts.limits.fallback_share
    if limit and fallback > limit:
        figure = f"{facts.lists.by_how['fallback']:,} of {facts.lists.n_users:,} users, {per_cent(fallback, 1)}"
        remedy = "They have no history, or no model has candidates for them: check whether their events have the same user_id."
        yield Notice(
            "Many users got popular items instead of a list of their own", figure, f"{per_cent(limit)} (warn_fallback_share)", remedy
        )


def _one_item(lists: Lists, limit: float) -> Iterator[Notice]:
    most_shown = lists.most_shown
    if most_shown and limit and most_shown.n_lists > limit * lists.n_users:
        share = per_cent(most_shown.n_lists / lists.n_users, 1)
        figure = f"{most_shown.n_lists:,} of {lists.n_users:,} lists, {share}; {most_shown.n_histories:,} users have had it"
        remedy = (
            "If this is not intended, remove its events if they are a robot's or a campaign's, or limit it by a rule "
            "(docs/adding-a-rule.md)."
        )
        name = most_shown.title if most_shown.title == most_shown.item_id else f"{most_shown.title} ({most_shown.item_id})"
        yield Notice(f"{name} is in very many lists", figure, f"{per_cent(limit)} (warn_item_share)", remedy)


def _concentration(lists: Exposure, histories: Exposure, limit: float) -> Iterator[Notice]:
    if limit and lists.n_for_half and histories.n_for_half > limit * lists.n_for_half:
        figure = (
            f"half of all positions go to {lists.n_for_half:,} items, half of the histories to {histories.n_for_half:,}, "
            f"{histories.n_for_half / lists.n_for_half:.1f} times as many; Gini {lists.gini:.2f} against {histories.gini:.2f}"
        )
        remedy = (
            "See Exposure. A rule that caps or boosts items (docs/adding-a-rule.md) spreads positions; a strategy that favours popular "
            "items concentrates them."
        )
        yield Notice(
            "Positions are much more concentrated than users' own choices", figure, f"{limit:g} times (warn_concentration)", remedy
        )


def _models(facts: Facts) -> Iterator[Notice]:
    """Yield warnings about models; a full study overrules the night's sample."""
    studied = {(a.source, a.strategy) for a in facts.ablations if a.scope == "study"}
    for a in facts.ablations:
        if a.high < 0 and (a.scope == "study" or (a.source, a.strategy) not in studied):
            gain = f"{-a.marginal_ndcg:+.4f} {a.metric}, 95 % interval {-a.high:+.4f} to {-a.low:+.4f}"
            figure = f"{a.strategy} without it: {gain}, {a.n_users:,} users"
            remedy = f'Leave it out: in the form\'s field Models, or for good with HYBRIDREC_SKIP="models.{a.source}".'
            if a.scope == "night":
                remedy = f"A night measures this on a sample: if the warning repeats, run the DAG ablation_study. {remedy}"
            yield Notice(f"Lists would be better without the model {a.source}", figure, "an interval that lies above 0", remedy)


def _data(facts: Facts) -> Iterator[Notice]:
    if facts.categories_unlearnt:
        remedy = "Deliver categories as they were before the cut, or categories that users do not give."
        yield Notice("Suspected leak: categories follow from events, so models ignored them", UNLEARNT, "", remedy)
    for table in facts.quality:
        yield from _table(table)


def _table(table: TableQuality) -> Iterator[Notice]:
    remedy = "See Data quality; fix the delivery and ingest it again."
    broken = [check.name for check in table.checks if not check.passed]
    if broken:
        yield Notice(f"Checks of {table.table} failed", f"{len(broken)}, the first of them {broken[0]}", "0 failed checks", remedy)
    refused = sum(table.quarantined.values())
    if refused:
        yield Notice(f"Rows of {table.table} were refused", f"{refused:,} in quarantine beside {table.rows:,} good ones", "0 rows", remedy)
    for text in table.warnings:
        yield Notice(f"Ingest of {table.table}", text.removeprefix(f"{table.table}: "), "", "See docs/what-happens-to-bad-rows.md.")


def days(age: float) -> str:
    """Return a span of days for a person."""
    return f"{age / 365.25:.1f} years" if age > 730 else f"{age:,.1f} days"

"""The report's first lines: what came out of the night, and what a person should look at."""

from __future__ import annotations

from hybridrec.report.facts import Facts, Metric

FALLBACK_SHARE = 0.2  # of the users; more deserves a look even where the threshold lets it pass
UNLEARNT = (
    "Models do without the items' categories: they follow from the events, since items with users behind the judged cut "
    "have more of them than others as popular before it. Deliver categories as they stood before, or ones that users do not give."
)


def headline(facts: Facts) -> str:
    """One or two sentences for somebody who reads nothing else."""
    return " ".join(filter(None, (_outcome(facts), _quality(facts))))


def _outcome(facts: Facts) -> str:
    if not facts.lists and facts.ranked_users and not facts.publish:
        return f"Lists for {facts.ranked_users:,} users were ranked; this run publishes nothing."
    if not facts.lists:
        return "The night stopped before it had lists to publish; what was live before is live still."
    users = f"{facts.lists.n_users:,} users with up to {facts.k} items each"
    if facts.version:
        state = "is live" if facts.version.state == "live" else f"is {facts.version.state}"
        return f"Version {facts.version.version} {state}: {users}."
    if not facts.publish:
        return f"A trial: lists for {users} were made and, as asked, not published."
    return f"Lists for {users} were made, but the target holds no version of this run: what was live before is live still."


def _quality(facts: Facts) -> str:
    name, ours = published_list(facts), {m.name: m for m in overall(facts)}
    if name not in ours or "popularity" not in ours:
        return ""
    metric, value, floor = ours[name].metric, ours[name].value, ours["popularity"].value
    against = f"popularity's {floor:.4f}" + (f", {value / floor:.1f} times as much" if floor > 0 else "")
    return f"On {facts.held_out} {name} reaches {metric} {value:.4f} against {against}."


def warnings(facts: Facts) -> tuple[str, ...]:
    """What a person should look at, the most serious first."""
    found = [f"Task {step.name} ended as {step.state}." for step in facts.steps if step.state in ("failed", "bad_data")]
    found += [f"Source {name} dropped out: it is not fitted on all folds, so no list holds its nominees." for name in facts.missing_sources]
    if facts.categories_unlearnt:
        found.append(UNLEARNT)
    if facts.output_checks:
        failed = [check for check in facts.output_checks.checks if not check.passed]
        found += [f"Output check failed: {check.name} ({check.detail})." for check in failed]
        if failed and facts.output_checks.override_reason:
            found.append(f"The failed output checks were overridden: {facts.output_checks.override_reason}")
    if facts.gate and not facts.gate.promoted:
        found.append("The gate did not promote this night's stack: " + f"{facts.gate.reasons[-1]}.")
    for table in facts.quality:
        broken = [check.name for check in table.checks if not check.passed]
        found += [f"{table.table}: {len(broken)} checks failed, as {broken[0]}."] if broken else []
        refused = sum(table.quarantined.values())
        found += [f"{table.table}: {refused:,} rows in quarantine beside {table.rows:,} good ones."] if refused else []
    return tuple(found + _list_warnings(facts))


def _list_warnings(facts: Facts) -> list[str]:
    if not facts.lists:
        return []
    found = [
        f"{n:,} {'user has' if n == 1 else 'users have'} fewer than {facts.k} items: {why}." for why, n in facts.lists.by_shortfall.items()
    ]
    fallback = facts.lists.by_how.get("fallback", 0)
    if fallback > FALLBACK_SHARE * max(facts.lists.n_users, 1):
        found.append(f"{fallback:,} of {facts.lists.n_users:,} users got the fallback list.")
    return found


def published_list(facts: Facts) -> str:
    """Name of the strategy or source that most users are served with; empty before the decision."""
    if facts.lists and facts.lists.by_strategy:
        return max(sorted(facts.lists.by_strategy), key=lambda name: facts.lists.by_strategy[name] if facts.lists else 0)
    return facts.choices[0].strategy if facts.choices else ""


def overall(facts: Facts, segment: str = "all") -> tuple[Metric, ...]:
    """Sources and strategies over a segment's users by the metric that lists are compared by."""
    return tuple(m for m in facts.metrics if m.segment == segment and m.metric == facts.metric and m.kind != "pool")


def judged_users(facts: Facts) -> dict[str, int]:
    """Users with held-out items by segment, all of them under "all"; segments without any are left out."""
    return {m.segment: m.n_users for m in facts.metrics if m.metric == facts.metric}

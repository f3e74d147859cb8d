"""The report's first lines: what came out of the night, and whether its lists are worth it."""

from __future__ import annotations

from hybridrec.report.facts import Facts, Metric, Served

PUBLISHED, HELD, NOT_PUBLISHED, FAILED = "published", "held", "not published", "failed"
LEFT = "the live version was left unchanged"
HISTORIES = {"none": "no", "light": "a light", "heavy": "a heavy"}
RANKED_BY = {
    "tonight": "this run's lists",
    "champion": "the champion's lists",
    "blend": "the equal-weight blend's lists",
    "popularity": "popularity's lists",
}


def outcome(facts: Facts) -> str:
    """Return the outcome of the night.

    One that was to publish and did not has failed, unless a person held publications; so has one that made no lists, or fails when cleared.
    """
    if facts.failure:
        return FAILED
    if was_published(facts):
        return PUBLISHED
    if facts.publish and facts.target_problem and any(step.name == "publish_table" and step.state == "done" for step in facts.steps):
        return PUBLISHED
    if facts.held:
        return HELD
    return NOT_PUBLISHED if not facts.publish and (facts.lists or facts.ranked_users) else FAILED


def was_published(facts: Facts) -> bool:
    """Return whether the target had a version of this run that is or was live."""
    return facts.version is not None and facts.version.state in ("live", "kept", "dropped")


def headline(facts: Facts) -> str:
    """Return the outcome, then the quality of the lists, for readers who read only this."""
    return " ".join(filter(None, (_outcome(facts), _quality(facts))))


def _outcome(facts: Facts) -> str:
    if not facts.lists and facts.ranked_users and not facts.publish:
        return f"Lists for {facts.ranked_users:,} users were ranked; this run publishes nothing."
    if not facts.lists:
        return f"The night stopped before it had lists to publish; {LEFT}."
    users = f"{facts.lists.n_users:,} users with up to {facts.k} items each"
    if facts.version and was_published(facts):
        later = (
            ""
            if facts.version.state == "live"
            else f" By {facts.written_at}, when this report was written, another version had taken its place."
        )
        return f"Lists for {users} were published at {facts.version.generated_at} as version {facts.version.version}.{later}"
    if not facts.publish:
        return f"A trial: lists for {users} were made and, as asked, not published."
    if facts.held:
        return f"Lists for {users} were made and not published. {facts.held[:1].upper()}{facts.held[1:]}."
    if facts.target_problem:
        return f"Lists for {users} were made. {facts.target_problem}."
    return f"Lists for {users} were made and not published: {LEFT}."


def _quality(facts: Facts) -> str:
    if facts.served:
        return served_sentence(facts.served, facts.held_out)
    name, ours = published_list(facts), {m.name: m for m in overall(facts)}
    if name not in ours or "popularity" not in ours:
        return ""
    metric, value, floor = ours[name].metric, ours[name].value, ours["popularity"].value
    against = f"popularity's {floor:.4f}" + (f", {value / floor:.1f} times as much" if floor > 0 else "")
    return f"On {facts.held_out} {name} reaches {metric} {value:.4f} against {against}; too few users were judged to say more."


def served_sentence(served: Served, held_out: str) -> str:
    """Do the lists beat the best single model, by how much, how sure, for whom."""
    whose, best = RANKED_BY[served.ranked_by], f"the best single model, {served.best}"
    if served.difference == served.low == served.high == 0:
        return f"On {held_out}, for {whom(served)}, {whose} are those of {best}: {served.metric} {served.value:.4f}."
    gain = (
        f", {per_cent(abs(served.difference) / served.best_value)} {'more' if served.difference > 0 else 'less'}"
        if served.best_value > 0
        else ""
    )
    figures = f"{served.metric} {served.value:.4f} against {served.best_value:.4f}{gain}"
    sure = f"a difference of {served.difference:+.4f}, 95 % interval {served.low:+.4f} to {served.high:+.4f}"
    return f"On {held_out}, for {whom(served)}, {whose} {_verdict(served)} {best}: {figures}; {sure}."


def _verdict(served: Served) -> str:
    """Return the statement that the interval allows; with a difference of many per cent "as good as" would contradict it."""
    if served.low > 0:
        return "beat"
    if served.high < 0:
        return "fall behind"
    if served.difference == 0:
        return "are about as good as"
    return f"are not clearly {'better' if served.difference > 0 else 'worse'} than"


def per_cent(share: float, digits: int = 0) -> str:
    """Format as "12 %"."""
    return f"{100 * share:.{digits}f} %"


def whom(served: Served) -> str:
    """Return the users that the figures stand for."""
    n, total = sum(served.users.values()), sum(served.users.values()) + sum(served.left_out.values())
    return f"the {n:,} users served" if n == total else f"{n:,} of the {total:,} users served"


def basis(served: Served) -> str:
    """Return the data that the headline's figures rest on."""
    users = " and ".join(f"{n:,} with {HISTORIES[segment]} history" for segment, n in served.users.items())
    text = f"Judged on {served.n_judged:,} users with held-out items, weighed like the users served: {users}."
    if served.left_out:
        missing = " and ".join(f"{n:,} with {HISTORIES[segment]} history" for segment, n in served.left_out.items())
        text += f" Too few users were judged to speak for {missing}."
    if served.popularity is not None and served.best != "popularity":
        text += f" Popularity alone reaches {served.popularity:.4f}."
    return f"{text} {served.metric} is 1 if every list begins with exactly the items that its user chose."


def published_list(facts: Facts) -> str:
    """Return the name of the strategy or retriever that most users are served with; empty before the decision."""
    if facts.lists and facts.lists.by_strategy:
        return max(sorted(facts.lists.by_strategy), key=lambda name: facts.lists.by_strategy[name] if facts.lists else 0)
    return facts.choices[0].strategy if facts.choices else ""


def overall(facts: Facts, segment: str = "all") -> tuple[Metric, ...]:
    """Return retrievers and strategies over a segment's users by the metric that lists are compared by."""
    return tuple(m for m in facts.metrics if m.segment == segment and m.metric == facts.metric and m.kind != "pool")


def judged_users(facts: Facts) -> dict[str, int]:
    """Return users with held-out items by segment, all of them under "all"; segments without any are left out."""
    return {m.segment: m.n_users for m in facts.metrics if m.metric == facts.metric}

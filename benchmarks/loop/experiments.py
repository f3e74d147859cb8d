"""Claims about the statistics of experiments: known bounds, false alarms, power, real experiments with a known fault, another library."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from benchmarks.loop._needs import Missing, feedback_data, those_possible
from benchmarks.measure import Claim
from hybridrec.experiments.alarms import ALARM_BELOW, sample_ratio, sample_ratios
from hybridrec.experiments.bounds import bounds
from hybridrec.experiments.estimates import Covariate, difference_of_means, difference_of_ratios, with_cuped
from hybridrec.experiments.simulation import Plan, share_decided, statistics, uplift_for

SEED = 20261122
FIVE_LOOKS = (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)  # of one horizon, alpha .05 on two sides, as in the tables of the method
BROKEN_WEEKS = (201325, 201401)  # in which the archive's cache gave one arm to many
COOKIE_CATS = {"ratio": 0.0086, "retention": 0.0016}  # p-values


def claims() -> list[Claim]:
    """Return all claims that this machine can measure."""
    return those_possible((_sequential, _upworthy, _cookie_cats, _beside_a_library))


def _sequential() -> list[Claim]:
    found = bounds((0.2, 0.4, 0.6, 0.8, 1.0))
    plan = Plan()
    alike, different = statistics(plan, 0.0, SEED), statistics(plan, uplift_for(plan), SEED + 1)
    return [
        Claim("gst_bounds", float(np.abs(found - FIVE_LOOKS).max()), 0.001, at_most=True),
        Claim("aa_false_alarms", share_decided(alike, "group_sequential"), 0.055, at_most=True),
        Claim("aa_false_alarms_peeking", share_decided(alike, "peeking"), 0.15),  # the simulation can see a wrong way of looking
        Claim("gst_power", share_decided(different, "group_sequential"), 0.77),
    ]


def _upworthy() -> list[Claim]:
    import pyarrow.parquet as pq

    rows = pq.read_table(feedback_data("upworthy")).sort_by([("test", "ascending"), ("arm", "ascending")])
    tests, weeks = rows["test"].to_numpy(), rows["week"].to_numpy()
    starts = np.flatnonzero(np.append(True, tests[1:] != tests[:-1])).astype(np.int64)
    alarms = sample_ratios(rows["impressions"].to_numpy().astype(float), np.ones(len(tests)), starts) < ALARM_BELOW
    week = weeks[starts]
    inside = (week >= BROKEN_WEEKS[0]) & (week <= BROKEN_WEEKS[1])
    return [
        Claim("srm_upworthy_inside", float(alarms[inside].mean()), 0.65),
        Claim("srm_upworthy_outside", float(alarms[~inside].mean()), 0.01, at_most=True),
    ]


def _cookie_cats() -> list[Claim]:
    import pyarrow.parquet as pq

    rows = pq.read_table(feedback_data("cookie_cats")).to_pandas()
    arms = [group["retention_7"].to_numpy().astype(float) for _, group in rows.groupby("version", sort=True)]
    ratio = sample_ratio(np.array([len(arm) for arm in arms], dtype=float), np.ones(2)).p_value
    retention = difference_of_means(*arms)
    rounds = (abs(arms[0].mean() - 0.1902), abs(arms[1].mean() - 0.1820))
    return [
        Claim("cookie_cats_ratio", abs(ratio - COOKIE_CATS["ratio"]), 0.00005, at_most=True),
        Claim("cookie_cats_retention", float(max(rounds)), 0.00005, at_most=True),
        Claim("cookie_cats_p", abs(retention.p_value - COOKIE_CATS["retention"]), 0.00005, at_most=True),
    ]


def _beside_a_library() -> list[Claim]:
    """Compare estimates and standard errors of CUPED and of a ratio with those of tea-tasting, on the same users."""
    try:
        import tea_tasting as tt
    except ImportError:
        raise Missing("cuped_vs_peer: tea-tasting is not installed; run make bench-loop") from None
    import pandas as pd

    generator = np.random.default_rng(SEED)
    before = generator.gamma(2.0, 3.0, 50_000)
    treated = generator.random(50_000) < 0.4
    shown = generator.poisson(20, 50_000) + 1.0
    clicks = generator.poisson(before * (1 + 0.05 * treated)).astype(float)
    users = pd.DataFrame({"variant": treated.astype(int), "clicks": clicks, "before": before, "shown": shown})
    metrics = {
        "cuped": tt.Mean("clicks", covariate="before", use_t=False),
        "ratio": tt.RatioOfMeans("clicks", "shown", use_t=False),
    }
    peer = tt.Experiment(metrics).analyze(users)
    start = datetime(2026, 11, 1, tzinfo=UTC)
    arms = [(clicks[arm], shown[arm]) for arm in (~treated, treated)]
    ours = {"cuped": with_cuped(clicks, treated, Covariate(before, start), start), "ratio": difference_of_ratios(arms[0], arms[1])}
    errors = {}
    for name, found in ours.items():
        low, high = found.interval(1.959963984540054)
        errors[name] = max(abs(found.estimate - peer[name].effect_size), abs(low - peer[name].effect_size_ci_lower))
        errors[name] = max(errors[name], abs(high - peer[name].effect_size_ci_upper))
    return [
        Claim("cuped_vs_peer", errors["cuped"], 1e-6, at_most=True),
        Claim("ratio_vs_peer", errors["ratio"], 1e-6, at_most=True),
    ]

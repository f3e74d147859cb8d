"""What the report states, as data: `report.json` is these fields, `report.html` is drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.comparisons import Comparison


@dataclass(frozen=True)
class Metric:
    """A row of out_metrics."""

    kind: str
    name: str
    segment: str
    metric: str
    value: float
    low: float
    high: float
    n_users: int


@dataclass(frozen=True)
class PoolHits:
    """How many of the eval fold's labels a source nominated, and how many it alone did."""

    source: str
    n_nominated: int
    n_hits: int
    n_unique_hits: int


@dataclass(frozen=True)
class Pool:
    """How well the eval fold's pool covers its labels."""

    n_labels: int
    n_hits: int
    sources: tuple[PoolHits, ...]


@dataclass(frozen=True)
class Exposure:
    """How evenly places are spread over the catalogue.

    curve: (share of the catalogue, share of the places), items with the fewest places first.
    gini: 0 when every item has the same number, near 1 when one item has all.
    top_1_percent, top_10_percent: share of all places that the most shown items take.
    """

    name: str
    n_items: int
    n_shown: int
    gini: float
    top_1_percent: float
    top_10_percent: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; len(edges) = len(counts) + 1."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    best_counts: tuple[int, ...]


@dataclass(frozen=True)
class ShownItem:
    """An item in a sample user's list or history."""

    item_id: str
    title: str
    categories: tuple[str, ...] = ()
    score: float | None = None
    reason: str = ""
    sources: str = ""


@dataclass(frozen=True)
class SampleUser:
    """One user with the newest part of the history and the published list."""

    user_id: str
    segment: str
    strategy: str
    how: str
    shortfall: str
    n_history: int
    history: tuple[ShownItem, ...]
    items: tuple[ShownItem, ...]


@dataclass(frozen=True)
class Lists:
    """The published lists in numbers; counts are users by value of the column."""

    n_users: int
    n_places: int
    by_how: dict[str, int]
    by_segment: dict[str, int]
    by_strategy: dict[str, int]
    by_shortfall: dict[str, int]
    exposures: tuple[Exposure, ...]
    scores: tuple[Histogram, ...]
    samples: tuple[SampleUser, ...]


@dataclass(frozen=True)
class Check:
    """One statement about a table, from Great Expectations or from the check of the output."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class OutputChecks:
    """What was checked before the lists could go live, failed checks first.

    override_reason: why a person let failed checks pass. compared_with: the version that was live.
    """

    passed: bool
    override_reason: str
    compared_with: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class TableQuality:
    """A core table: its rows, its quarantine by reason, and its checks; checked is False when none ran."""

    table: str
    rows: int
    quarantined: dict[str, int]
    checked: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Step:
    """Cost of one task. compute_seconds is the wall time without start-up and Spark.

    airflow_seconds: what the scheduler added around the process, None when not measured.
    """

    name: str
    state: str
    startup_seconds: float
    spark_seconds: float
    compute_seconds: float
    airflow_seconds: float | None
    peak_mib: float


@dataclass(frozen=True)
class Choice:
    """What a segment of users is served with, and why."""

    segment: str
    strategy: str
    reason: str


@dataclass(frozen=True)
class Gate:
    """Outcome of the promotion gate.

    candidate: tonight's model version. champion_before: the version it was up against, empty for none.
    serving: whose policy ranked the lists: tonight, champion, blend or popularity.
    """

    promoted: bool
    candidate: str
    champion_before: str
    serving: str
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Version:
    """The published version that came out of this run."""

    version: str
    state: str
    content_hash: str
    generated_at: str
    notes: str
    counts: dict[str, int]


@dataclass(frozen=True)
class TunedModel:
    """Options that a search has found for a model: by which run, and the metric on its held-out pairs before and after."""

    model: str
    options: str
    run_id: str
    metric: str
    before: float
    after: float


@dataclass(frozen=True)
class Index:
    """How a model searches a large catalogue on fold final, as measured on a sample of its users.

    used: by clusters, else exactly. exact_share, share: of the catalogue that the exact search and the clusters look at.
    recall: of the exact lists that the clusters hold, with its standard error.
    """

    model: str
    used: bool
    exact_share: float
    share: float
    recall: float
    recall_error: float


@dataclass(frozen=True)
class Facts:
    """Everything on the page. None and empty mean that the step which would have said it did not run to its end.

    held_out: what the lists are judged by. metric: the one by which lists are compared, as ndcg@20.
    absent: what is missing, each with the job that would have written it. ranked_users: with a ranked list, before any rule.
    """

    run_id: str
    source: str
    as_of: str
    code_version: str
    models: tuple[str, ...]
    k: int
    publish: bool
    held_out: str
    folds: dict[str, str]
    options: dict[str, str]
    tuned: tuple[TunedModel, ...] = ()
    metric: str = ""
    headline: str = ""
    warnings: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    missing_sources: tuple[str, ...] = ()
    categories_unlearnt: bool = False
    version: Version | None = None
    gate: Gate | None = None
    choices: tuple[Choice, ...] = ()
    metrics: tuple[Metric, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    pool: Pool | None = None
    indexes: tuple[Index, ...] = ()
    lists: Lists | None = None
    ranked_users: int = 0
    quality: tuple[TableQuality, ...] = ()
    output_checks: OutputChecks | None = None
    steps: tuple[Step, ...] = ()
    ingest_steps: tuple[Step, ...] = ()
    spark_peak_mib: float | None = None

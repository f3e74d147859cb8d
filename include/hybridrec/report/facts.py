"""Content of the report, as data: `report.json` is these fields, `report.html` is drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.comparisons import Comparison
from hybridrec.report.experiment_facts import ExperimentResult, ExperimentStanding
from hybridrec.report.list_facts import CandidateCoverage, Feedback, Lists, SurfaceLists
from hybridrec.report.tried.facts import BanditFacts, ObjectiveFacts


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
class TableComparison:
    """A row of out_table_comparisons: a table besides the lists against its baseline."""

    name: str
    against: str
    metric: str
    value: float
    against_value: float
    difference: float
    low: float
    high: float
    n_judged: int
    judged: str


@dataclass(frozen=True)
class CheckLine:
    """One statement about a table, from Great Expectations or from the check of the output."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class OutputChecks:
    """Checks before the lists could go live, failed ones first.

    override_reason: why a person let failed checks pass. compared_with: the version that was live.
    """

    passed: bool
    override_reason: str
    compared_with: str
    checks: tuple[CheckLine, ...]


@dataclass(frozen=True)
class TableQuality:
    """A core table: its rows, its quarantine by reason, and its checks; checked is False when none ran.

    warnings: what ingest found worth a look.
    """

    table: str
    rows: int
    quarantined: dict[str, int]
    checked: bool
    checks: tuple[CheckLine, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Cost of one task. compute_seconds is the wall time without start-up and Spark. said: the last line of one that failed.

    airflow_seconds: what the scheduler added around the process, None when not measured.
    """

    name: str
    state: str
    startup_seconds: float
    spark_seconds: float
    compute_seconds: float
    airflow_seconds: float | None
    peak_mib: float
    said: str = ""


@dataclass(frozen=True)
class Choice:
    """List that a segment of users is served, and the reason."""

    segment: str
    strategy: str
    reason: str


@dataclass(frozen=True)
class Gate:
    """Outcome of the promotion gate.

    candidate: this run's model version. champion_before: the version that it was compared with, empty for none. serving: the policy that
    ranked the lists: `tonight`, `champion`, `blend` or `popularity`.
    """

    promoted: bool
    candidate: str
    champion_before: str
    serving: str
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Version:
    """The version that came out of this run, with its state as the report was written."""

    version: str
    state: str
    content_hash: str
    generated_at: str
    notes: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Before:
    """Version that was live before this run was published, and whether this run changed the lists.

    same_lists: every published row is the same. same_inputs: all core tables are; None when the earlier run's folder is gone.
    """

    version: str
    run_id: str
    same_lists: bool
    same_inputs: bool | None


@dataclass(frozen=True)
class Failure:
    """Why the night failed: its first failing task, what that said last, and the path of its page in Airflow.

    how: what happened to it, as "refused its input". others: tasks that failed after it. page: empty for a task from a shell.
    """

    task: str
    how: str
    said: str
    page: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """Quality of this run's lists for the users who are served, beside the best single model's.

    ranked_by: the policy of these lists: `tonight`, `champion`, `blend` or `popularity`. difference, low, high: value minus best_value.
    users: served users by segment that the figures stand for. left_out: those of segments with too few judged users.
    """

    metric: str
    ranked_by: str
    value: float
    best: str
    best_value: float
    difference: float
    low: float
    high: float
    popularity: float | None
    n_judged: int
    users: dict[str, int]
    left_out: dict[str, int]


@dataclass(frozen=True)
class SegmentMix:
    """A segment's share of the users served, and of the labelled users before and after they were weighed.

    judged: of those on whom lists are judged. learnt: of those from whom strategies learn, who have a held-out item among their
    candidates.
    """

    segment: str
    served: float
    judged_labelled: float
    judged: float
    learnt_labelled: float
    learnt: float


@dataclass(frozen=True)
class Limits:
    """Options of the night beyond which the report warns; 0 never warns."""

    item_share: float
    concentration: float
    fallback_share: float
    event_age_days: float


@dataclass(frozen=True)
class Notice:
    """Something that a person should look at: what, in figures, beyond which limit, and what to do about it."""

    what: str
    figure: str
    limit: str
    remedy: str

    @property
    def text(self) -> str:
        """All of it in one line."""
        limit = f" Limit: {self.limit}." if self.limit else ""
        return f"{self.what}: {self.figure}.{limit} {self.remedy}"


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
    """Search of a model in a large catalogue on the full split, as measured on a sample of its users.

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
class LeakAlarms:
    """The leak alarms of a night that none has stopped: what each looked at, their seconds, and the share of the time in tasks."""

    findings: tuple[str, ...]
    seconds: float
    share: float


@dataclass(frozen=True)
class Purpose:
    """Purpose of a type of events: how long its item counts as had, in words, and the share of the newest choices that repeat one."""

    event_type: str
    had: str
    repeat_share: float


@dataclass(frozen=True)
class Facts:
    """Everything on the page. None and empty mean that the step which would have said it did not run to its end.

    written_at: when the report was written; it states what was true then. held_out: what the lists are judged by.
    metric: the one by which lists are compared, as ndcg@20. target_problem: why the target could not be asked what it has of this run.
    outcome: published, held, not published, or failed. held: who kept the run from publishing and why.
    purposes: of the types of events that the data have.
    newest_event: the newest that the models saw, and its age in days as of written_at.
    absent: what is missing, each with the job that would have written it. ranked_users: with a ranked list, before any rule.
    """

    run_id: str
    source: str
    as_of: str
    written_at: str
    code_version: str
    limits: Limits
    models: tuple[str, ...]
    k: int
    publish: bool
    held_out: str
    folds: dict[str, str]
    options: dict[str, str]
    tuned: tuple[TunedModel, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    metric: str = ""
    headline: str = ""
    outcome: str = ""
    held: str = ""
    failure: Failure | None = None
    served: Served | None = None
    user_mix: tuple[SegmentMix, ...] = ()
    warnings: tuple[Notice, ...] = ()
    absent: tuple[str, ...] = ()
    missing_sources: tuple[str, ...] = ()
    categories_unlearnt: bool = False
    version: Version | None = None
    before: Before | None = None
    target_problem: str = ""
    newest_event: str = ""
    newest_event_age_days: float | None = None
    gate: Gate | None = None
    choices: tuple[Choice, ...] = ()
    metrics: tuple[Metric, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    table_comparisons: tuple[TableComparison, ...] = ()
    surfaces: tuple[SurfaceLists, ...] = ()
    feedback: Feedback | None = None
    experiments: tuple[ExperimentResult, ...] = ()
    standing: tuple[ExperimentStanding, ...] = ()
    bandit: BanditFacts | None = None
    objective: ObjectiveFacts | None = None
    ablations: tuple[Ablation, ...] = ()
    pool: CandidateCoverage | None = None
    indexes: tuple[Index, ...] = ()
    lists: Lists | None = None
    ranked_users: int = 0
    quality: tuple[TableQuality, ...] = ()
    output_checks: OutputChecks | None = None
    leak_alarms: LeakAlarms | None = None
    steps: tuple[Step, ...] = ()
    ingest_steps: tuple[Step, ...] = ()
    spark_peak_mib: float | None = None

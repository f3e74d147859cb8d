"""The results of experiments."""

from hybridrec.tables import Column, Table

TABLE = Table(
    name="out_experiments",
    doc="One row per experiment, variant besides the control, and outcome, as of the newest feedback of the run.",
    columns=(
        Column("experiment", "string", "Experiment, or aa for the permanent comparison of two halves that get the same."),
        Column("variant", "string", "Variant that is compared with the control."),
        Column("outcome", "string", "What is compared."),
        Column("role", "string", "decides: the outcome of the experiment. guardrail: must not get worse.", one_of=("decides", "guardrail")),
        Column("phase", "string", "Kind of look: canary, running, or always.", one_of=("canary", "running", "always")),
        Column("since", "timestamp", "Start of the feedback that counts: lists with the shares of the phase."),
        Column("until", "timestamp", "Newest feedback that counts."),
        Column("look", "int32", "Number of nights so far; 1 is the first.", minimum=1),
        Column("fraction", "float64", "Share of the horizon that has passed; null without one.", nullable=True),
        Column("n_control", "int64", "Users of the control with feedback.", minimum=0),
        Column("n_variant", "int64", "Users of the variant with feedback.", minimum=0),
        Column("control", "float64", "Figure of the control.", nullable=True),
        Column("treatment", "float64", "Figure of the variant.", nullable=True),
        Column("estimate", "float64", "Variant minus control, after CUPED where that is used.", nullable=True),
        Column("low", "float64", "Lower end of the interval, which holds although every night looks.", nullable=True),
        Column("high", "float64", "Upper end of the interval.", nullable=True),
        Column("z", "float64", "Estimate in standard errors.", nullable=True),
        Column("bound", "float64", "Size of z that decides at this look; null if none can.", nullable=True),
        Column("with_cuped", "bool", "Whether what the users did before is subtracted."),
        Column("sample_ratio_p", "float64", "P-value of the users of all variants against their shares.", nullable=True),
        Column(
            "reported_p",
            "float64",
            "Smallest p-value of the shares of lists with a reported impression, variants against the control.",
            nullable=True,
        ),
        Column("n_moved", "int64", "Users with feedback of several variants; they count in none.", minimum=0),
        Column(
            "verdict",
            "string",
            "broken: the arms are not comparable. better, worse: the bound is crossed. over: the horizon is reached without. open: neither."
            " kept, hurt, unclear: of a guardrail.",
            one_of=("broken", "better", "worse", "over", "open", "kept", "hurt", "unclear"),
        ),
        Column("sentence", "string", "The verdict in words."),
    ),
    key=("experiment", "variant", "outcome"),
)

"""The ranked candidates of users whose variant has a strategy of its own."""

from dataclasses import replace

from hybridrec.tables.model_ranked import TABLE as RANKED

TABLE = replace(
    RANKED,
    name="model_variant_ranked",
    doc="As model_ranked, by the strategy of the user's variant; only if an experiment has a variant with a strategy.",
    min_rows=0,
)

"""An alarm for tests: features that change when later events are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hybridrec.base.errors import Leak
from hybridrec.splitting import held_out

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hybridrec.runs.run import Split


def features_must_not_change(compute: Callable[[DataFrame, Split], DataFrame], events: DataFrame, split: Split) -> None:
    """Raise Leak unless features computed from all events equal those from the split's history alone."""
    whole = compute(events, split)
    truncated = compute(held_out.history(events, split), split)
    changed = whole.exceptAll(truncated).union(truncated.exceptAll(whole)).limit(5).collect()
    if changed:
        raise Leak(f"features of split {split.name} change when events that it must not see are removed, in {whole.columns}: {changed}")

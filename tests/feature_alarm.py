"""An alarm for tests: features that change when later events are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hybridrec.base.errors import Leak
from hybridrec.splitting import splits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from hybridrec.runs.run import Fold


def features_must_not_change(compute: Callable[[DataFrame, Fold], DataFrame], events: DataFrame, fold: Fold) -> None:
    """Leak unless features computed from all events equal those from the fold's history alone."""
    whole = compute(events, fold)
    truncated = compute(splits.history(events, fold), fold)
    changed = whole.exceptAll(truncated).union(truncated.exceptAll(whole)).limit(5).collect()
    if changed:
        raise Leak(f"features of fold {fold.name} change when events that it must not see are removed, in {whole.columns}: {changed}")

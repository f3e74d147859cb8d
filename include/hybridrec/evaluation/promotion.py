"""Write the result of the gate: promotion.json and the policy that ranks the lists.

promotion/promotion.json    model_version, promoted, serving, reasons, comparisons
promotion/policy/           the serving policy, so that ranking needs no registry
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.evaluation.gate import CHALLENGER, Champion, Verdict, stand_in_choices
from hybridrec.policy.policy import DECISION, read_choices, save_policy
from hybridrec.storage import store

if TYPE_CHECKING:
    from hybridrec.runs.run import Run


def write_policy_of(run: Run, folder: Path) -> None:
    """Write the challenger's policy as a separate folder: evaluate's decision and the fitted strategies."""
    save_policy(run, read_choices(run.artefact("decision") / DECISION), folder)


def write_promotion(run: Run, verdict: Verdict, version: str, champion: Champion | None) -> None:
    """Commit the artefact `promotion`."""
    with run.staged("promotion") as folder:
        if verdict.serving == CHALLENGER:
            write_policy_of(run, folder / "policy")
        elif verdict.serving == "champion" and champion is not None and champion.folder is not None:
            shutil.copytree(champion.folder, folder / "policy")
        else:
            save_policy(run, stand_in_choices(verdict.serving, verdict.reasons[-1]), folder / "policy")
        serving_version = champion.version if verdict.serving == "champion" and champion else version
        record = verdict.as_json() | {"model_version": serving_version, "candidate_version": version}
        store.write_json(folder / "promotion.json", record | {"champion_before": champion.version if champion else None})

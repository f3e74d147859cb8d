"""
### rollback_publication: an earlier table goes live again

One transaction moves what services read to a kept version; the version that was live stays, so this can itself be
undone. Leave *Version* empty for the one before the live version; the table `publications` lists all of them.

**When it fails** the log says which versions exist. Nothing was changed.

The next `nightly_retrain` publishes again: pause it while you look for the cause.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import RECOMMENDATIONS
from hybridrec_airflow.operators import python_job

with DAG(
    "rollback_publication",
    doc_md=__doc__,
    schedule=None,
    params={"version": forms.version()},
    tags=["publishing", "by hand"],
    **defaults.DAG,
):
    python_job("rollback_publication", outlets=[RECOMMENDATIONS], version="{{ params.version or '' }}")

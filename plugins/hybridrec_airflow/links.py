"""Buttons on a task's page: the run's report, the Data Docs, the run in MLflow, the job in Spark's history.

All addresses but the last are paths of the pages in `pages.py`, on the same server as the Airflow UI.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PREFIX = "/hybridrec"


class PageLink(BaseOperatorLink):
    """A link to one of our pages; `{run_id}` is the run's id."""

    label: ClassVar[str] = ""
    path: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """Text of the button."""
        return self.label

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page's path for the run of a task that has just ended."""
        return PREFIX + self.path.format(run_id=operator.flags.get("run_id", ""))


class ReportLink(PageLink):
    """The run's HTML report."""

    label = "Report"
    path = "/reports/{run_id}"


class DataDocsLink(PageLink):
    """Results of Great Expectations for the core tables."""

    label = "Data Docs"
    path = "/docs/"


class MlflowLink(PageLink):
    """The night's parent run in MLflow."""

    label = "MLflow run"
    path = "/mlflow/{run_id}"


class SparkLink(BaseOperatorLink):
    """A submitted job in Spark's history server, whose address is HYBRIDREC_SPARK_HISTORY."""

    @property
    def name(self) -> str:
        """Text of the button."""
        return "Spark history"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the application's page; "" without a history server or before the cluster has taken the job."""
        history = os.environ.get("HYBRIDREC_SPARK_HISTORY", "")
        application = getattr(operator, "application_id", "")
        return f"{history}/history/{application}/" if history and application else ""


LINKS: dict[str, tuple[PageLink, ...]] = {
    "check_table": (DataDocsLink(),),
    "register_model": (MlflowLink(),),
    "promote_model": (MlflowLink(),),
    "publish_table": (ReportLink(),),
    "summarise_backtest": (ReportLink(),),
    "write_report": (ReportLink(), DataDocsLink(), MlflowLink()),
}


def links_of(job: str) -> tuple[PageLink, ...]:
    """Return the buttons of a job's tasks."""
    return LINKS.get(job, ())

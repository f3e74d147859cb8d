"""Register our parts in Airflow: links for task pages, our own pages, an entry in the menu, the names that its server answers to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from hybridrec_airflow.deadlines import FirstQueuedAt
from hybridrec_airflow.links import PREFIX, DataDocsLink, MlflowLink, ReportLink, SparkLink
from hybridrec_local.hosts import only_allowed_hosts


async def pages(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Import the pages' application at the first request: only the API server needs it, yet every task loads plugins."""
    from hybridrec_airflow.pages import app

    await app(scope, receive, send)


class HybridrecPlugin(AirflowPlugin):
    """Registers links and pages, and lets Airflow's server answer to its own names only."""

    name = "hybridrec"
    deadline_references: ClassVar[list[Any]] = [FirstQueuedAt]
    operator_extra_links: ClassVar[list[Any]] = [ReportLink(), DataDocsLink(), MlflowLink(), SparkLink()]
    fastapi_apps: ClassVar[list[Any]] = [{"app": pages, "url_prefix": PREFIX, "name": "hybridrec"}]
    fastapi_root_middlewares: ClassVar[list[Any]] = [{"middleware": only_allowed_hosts, "name": "allowed hosts", "args": [], "kwargs": {}}]
    external_views: ClassVar[list[Any]] = [{"name": "Reports", "href": f"{PREFIX}/", "destination": "nav", "category": "browse"}]

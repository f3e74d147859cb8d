"""The data that passes between DAGs, as Airflow assets: named like the tables."""

from __future__ import annotations

from airflow.sdk import Asset

from hybridrec.base import extensions

CORE = {name: Asset(name=name, uri=f"hybridrec://{name}", group="core") for name in extensions.names("tables") if name.startswith("core_")}
RECOMMENDATIONS = Asset(name="recommendations", uri="hybridrec://recommendations", group="published")

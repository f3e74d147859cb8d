"""The queries of docs/reading-the-tables.md for the embedded target, run as they stand there."""

from __future__ import annotations

import re
import sqlite3

import pytest

from hybridrec.runs.run import Run
from jobs import check_output, publish_table
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reading-the-tables.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.split("\n## PostgreSQL\n")[0], flags=re.DOTALL)
SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[0]


@pytest.fixture
def published(listed: Run) -> Run:
    check_output.main(check_output.Params(listed.run_id))
    publish_table.main(publish_table.Params(listed.run_id))
    return listed


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_queries_run(published: Run, query: str) -> None:
    db = sqlite3.connect(f"file:{published.settings.published}/recommendations.db?mode=ro", uri=True)
    rows = db.execute(query.replace("'196'", "'u10'")).fetchall()
    db.close()
    assert len(rows) in (1, published.config.k, 20)


def test_the_python_example_answers_known_and_unknown_users(published: Run) -> None:
    names: dict[str, object] = {}
    exec(SCRIPT.replace("var/published", str(published.settings.published)), names)
    own = published.read("out_recommendations").to_pandas().set_index("user_id").item_ids["u10"]
    assert names["recommend"]("u10", 5) == list(own[:5])  # type: ignore[operator]
    assert len(names["recommend"]("stranger", 7)) == 7  # type: ignore[operator]
    names["db"].close()  # type: ignore[attr-defined]

"""Commands and outputs are found on a page, and an output that is not what the page shows is told from one that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documented_commands import Command, code, commands, difference

PAGE = """# A page

    make run

prints

```text
0 s  ingest  success
done after 12 s
```

```sh
# a comment
HYBRIDREC_HOME=here make run SOURCE=files   # another
curl \\
    'localhost:8100/live'
```

`events.csv`:

    user_id,item_id
    alice,lamp

```console
$ make status
airflow  running
mlflow   stopped
$ make stop
```

```text
$ sqlite3 var/x.db \\
    "SELECT 2"
2
```

    SELECT 1;

```python
print(2)
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path / "page.md"


def test_commands_come_with_their_output(page: Path) -> None:
    assert commands(page) == [
        Command("make run", "0 s  ingest  success\ndone after 12 s\n"),
        Command("HYBRIDREC_HOME=here make run SOURCE=files"),
        Command("curl 'localhost:8100/live'"),
        Command("make status", "airflow  running\nmlflow   stopped\n"),
        Command("make stop"),
        Command('sqlite3 var/x.db "SELECT 2"', "2\n"),
    ]
    assert (code(page, "sql"), code(page, "python")) == (["SELECT 1;\n"], ["print(2)\n"])


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("done after 12 s", "done after 340.5 s\n"),
        ("run manual__2026-03-01T09:12:44+00:00 of 943 users", "run manual__2027-11-30T00:00:00.123456+00:00 of 7 users"),
        ("content 1f0c22aa99b1deaf", "content 00ffaa11deadbeef"),
        ("1  Heat (1995)   .31", "10  Heat (1995)  .2977"),
        ("first\n...\nlast", "first\nany\nthing\nlast"),
        ("first\n...\nlast", "first\nlast"),
        ("report .../report.html", "report /tmp/x/report.html"),
        ("first\n...", "first\nany\nthing"),
        ("version manual_2026_11_30t15_03__7955778d", "version manual_2027_01_02t00_59__abcdefab"),
        ("report ~/there/var/runs/1", "report var/runs/2"),
    ],
)
def test_numbers_times_ids_and_what_is_left_out_may_differ(shown: str, printed: str) -> None:
    assert difference(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("done after 12 s", "FAILED after 12 s"),
        ("1  Heat", "1  Casino"),
        ("first\nlast", "first\nanother\nlast"),
        ("first\n...\nlast", "first\nany"),
        ("report .../report.html", "report /tmp/x\ny/report.html"),
    ],
)
def test_words_may_not_differ(shown: str, printed: str) -> None:
    assert "but the command printed" in difference(shown, printed)

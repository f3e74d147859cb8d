"""Small published versions for tests: their rows, how they are published, and readers who must never see a mixture of two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from hybridrec.base.surfaces import ANYBODY
from hybridrec.tables import Table
from hybridrec.versions.publications import PUBLISHED, Publication, Target, definition

AS_OF = datetime(2026, 4, 11, tzinfo=UTC)


def publication(version: str, **changes: object) -> Publication:
    """Return a publication as publish_table makes it, before staging."""
    values: dict[str, object] = {
        "version": version,
        "run_id": f"run-{version}",
        "source": "small",
        "as_of": AS_OF,
        "model_version": "3",
        "generated_at": AS_OF,
        "valid_until": AS_OF + timedelta(days=2),
        "counts": {},
        "content_hash": "",
        "state": "staged",
        "notes": "",
    }
    return Publication(**(values | changes))  # type: ignore[arg-type]


def rows(name: str, mark: str, n_users: int = 50, k: int = 5) -> pa.Table:
    """Return rows of a published table; `mark` is in every row, so that a mixture of two versions shows."""
    ids = [f"i{n:03d}" for n in range(k + 3)]
    if name == "recommendations":
        columns: dict[str, list[Any]] = {
            "user_id": [f"u{n:05d}" for n in range(n_users)],
            "item_ids": [[ids[(n + j) % len(ids)] for j in range(k)] for n in range(n_users)],
            "scores": [[round(0.9 - 0.1 * j - n / 1e6, 6) for j in range(k)] for n in range(n_users)],
            "reasons": [[f'because of "{mark}" and Zoë, no. {j}\n' for j in range(k)] for _ in range(n_users)],
            "sources": [["als+content"] * k for _ in range(n_users)],
            "reason": ["ranked"] * n_users,
            "strategy": [mark] * n_users,
            "segment": ["light"] * n_users,
            "shortfall": [None if n else "only five items are left" for n in range(n_users)],
            "experiment": [None] * n_users,
            "variant": [None] * n_users,
            "arm": ["light:content" if n % 3 == 0 else None for n in range(n_users)],
            "arm_probability": [0.05 if n % 3 == 0 else None for n in range(n_users)],
            "slot_probabilities": [[1.0] * (k - 1) + [0.02] if n % 2 else None for n in range(n_users)],
        }
    elif name == "surface_lists":
        of_users: dict[str, list[Any]] = rows("recommendations", mark, n_users, k).slice(0, 3).to_pydict()
        listed = ("item_ids", "scores", "reasons", "sources", "slot_probabilities")
        columns = {field: values * 2 for field, values in of_users.items()}
        columns |= {field: [row and row[:2] for row in of_users[field]] + [row and row[:1] for row in of_users[field]] for field in listed}
        columns |= {"surface": ["cart"] * 3 + ["email"] * 3, "user_id": [ANYBODY, "u00001", "u00002"] * 2}
    elif name == "similar_items":
        columns = {"item_id": ids, "item_ids": [[i for i in ids if i != item] for item in ids], "reason": ["content"] * len(ids)}
        columns["scores"] = [[1 / (j + 1) for j in range(len(ids) - 1)] for _ in ids]
    elif name == "popular_items":
        columns = {"window": ["all_time"] * k + ["recent"] * k, "rank": [*range(1, k + 1)] * 2, "item_id": ids[:k] * 2}
        columns["score"] = [0.1 * (k - j) for j in range(k)] * 2
    elif name == "buy_again":
        some = range(0, n_users, 2)
        columns = {"user_id": [f"u{n:05d}" for n in some], "item_ids": [[ids[n % 8], ids[(n + 1) % 8]] for n in some]}
        columns["scores"] = [[0.9, 0.1 + 0.001 * len(mark)]] * len(some)
    elif name == "bought_together":
        columns = {"item_id": ids[:4], "item_ids": [[i for i in ids if i != item][:4] for item in ids[:4]]}
        columns["scores"] = [[0.5, 0.25, 0.125, 0.01 * len(mark)]] * 4
    elif name == "item_audiences":
        columns = {
            "item_id": ids[:2],
            "user_ids": [["u00001", "u00002", "u00000"], ["u00003"]],
            "scores": [[3.0, 2.0, 0.1 * len(mark)], [1.0]],
        }
    elif name == "trending":
        columns = {"rank": [1, 2, 3], "item_id": ids[5:8], "score": [4.0, 2.5, 1.5], "n_events": [40, 20, 10 + len(mark)]}
        columns |= {"n_expected": [5.0, 5.0, 5.0], "window_days": [7.0] * 3}
    else:
        columns = {"item_id": ids, "title": [f"Title {mark} of {item}" for item in ids[:-1]] + [None]}
        columns |= {"categories": [["Drama", mark]] * (len(ids) - 1) + [[]], "is_available": [True] * len(ids)}
    schema = definition(name).arrow_schema()
    n_rows = len(columns["item_id" if name == "items" else schema.names[0]])
    nothing = {field: [None] * n_rows for field in schema.names if schema.field(field).nullable}
    return pa.table({field: pa.array(columns.get(field, nothing.get(field)), schema.field(field).type) for field in schema.names})


def tables(mark: str, n_users: int = 50, batch_rows: int = 20) -> dict[str, Iterable[pa.RecordBatch]]:
    """Return all published tables as batches."""
    return {name: rows(name, mark, n_users).to_batches(batch_rows) for name in PUBLISHED}


def publish(target: Target, version: str, mark: str, keep: int = 3, n_users: int = 50) -> str:
    """Stage, check and switch, as publish_run does; returns the content hash."""
    staged = target.stage(publication(version), tables(mark, n_users))
    target.check(version)
    target.switch_to(version, keep)
    return staged.content_hash


def publish_beside_readers(target: Target, open_reader: Callable[[], Target], n_versions: int) -> None:
    """Publish one version after the other; two readers must see whole ones, without an error, and more than one of them."""
    publish(target, "v0", "mark0")
    stop, seen, faults = threading.Event(), set(), []

    def poll() -> None:
        reader = open_reader()
        while not stop.is_set():
            try:
                answer = reader.read_user("u00049")
                for found, length in ((answer, 5), (reader.read_user("u00002", "email"), 1), (reader.read_user("u00002", "cart"), 2)):
                    assert found is not None
                    marks = {found.version.replace("v", "mark")}
                    marks |= {entry.reason.split('"')[1] for entry in found.entries}
                    marks |= {entry.title.split()[1] for entry in found.entries if entry.title}
                    assert len(marks) == 1, marks
                    assert len(found.entries) == length
                assert answer is not None
                assert sum(batch.num_rows for batch in reader.read_live("recommendations", ("user_id",))) == 50
                seen.add(answer.version)
            except Exception as error:
                faults.append(repr(error))
        reader.close()

    readers = [threading.Thread(target=poll) for _ in range(2)]
    for thread in readers:
        thread.start()
    for number in range(1, n_versions + 1):
        publish(target, f"v{number}", f"mark{number}")
    stop.set()
    for thread in readers:
        thread.join()
    assert faults == []
    assert len(seen) > 1


SINCE = ("experiment", "variant", "arm", "arm_probability", "slot_probabilities")  # columns that earlier releases did not have


def earlier_definition(name: str) -> Table:
    """Return the definition of a published table before there were the columns SINCE."""
    whole = definition(name)
    return replace(whole, columns=tuple(column for column in whole.columns if column.name not in SINCE))

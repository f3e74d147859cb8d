"""The catalogue's own vectors: read from Parquet and from text, refused if no cosine between them means anything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from tests.support.delivery import Delivery


def vectors(delivery: Delivery) -> dict[object, list[float] | None]:
    """Return the vector by item, rounded."""
    rows = {row["item_id"]: row["vector"] for row in delivery.rows("core_items")}
    return {item: None if vector is None else [round(number, 3) for number in vector] for item, vector in rows.items()}  # type: ignore[attr-defined]


def deliver(delivery: Delivery, rows: pa.Array) -> None:
    """Deliver a catalogue with these vectors, as Parquet."""
    (delivery.folder / "items.csv").unlink(missing_ok=True)
    table = pa.table({"item_id": [f"i{number}" for number in range(len(rows))], "vector": rows})
    pq.write_table(table, delivery.folder / "items.parquet")


@pytest.mark.parametrize("numbers", [pa.float32(), pa.float64()])
def test_lists_of_numbers_are_kept_in_their_order(delivery: Delivery, numbers: pa.DataType) -> None:
    deliver(delivery, pa.array([[0.5, -1.25], None, [], [3, 2]], pa.list_(numbers)))
    delivery.clean("core_items")
    assert vectors(delivery) == {"i0": [0.5, -1.25], "i1": None, "i2": None, "i3": [3.0, 2.0]}
    assert delivery.found("core_items").mended == {}


def test_arrays_of_a_fixed_size_and_whole_numbers_are_vectors(delivery: Delivery) -> None:
    deliver(delivery, pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6), pa.int64()), 3))
    delivery.clean("core_items")
    assert vectors(delivery) == {"i0": [0.0, 1.0, 2.0], "i1": [3.0, 4.0, 5.0]}


def test_text_is_json(delivery: Delivery) -> None:
    delivery.file("items.csv", "item_id;vector", "i1;[0.5, -1e-1]", "i2;", "i3;none of it", "i4;[1, 2]")
    delivery.clean("core_items")
    assert vectors(delivery) == {"i1": [0.5, -0.1], "i2": None, "i3": None, "i4": [1.0, 2.0]}
    assert delivery.found("core_items").mended == {"vector is not of type list<float32>": 1}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None, 1e300])
def test_a_number_that_is_not_finite_is_refused_by_item(delivery: Delivery, wrong: float | None) -> None:
    deliver(delivery, pa.array([[0.5, 1.0], [0.5, wrong], [1.0, 0.0]]))
    with pytest.raises(PermanentError, match=r"core_items: vector has a number that is not finite \(NaN\) in 1 row: item_id i1; expected"):
        delivery.clean("core_items")


def test_text_with_something_else_in_it_is_refused_by_item(delivery: Delivery) -> None:
    delivery.file("items.csv", "item_id;vector", "i1;[0.5, NaN]", "i2;[0.5, null]", "i3;[1, 2]")
    with pytest.raises(PermanentError, match=r"not finite \(NaN\) in 2 rows: item_id i1, item_id i2; expected"):
        delivery.clean("core_items")


def test_other_lengths_are_refused_by_item(delivery: Delivery) -> None:
    deliver(delivery, pa.array([[1.0] * 3] * 4 + [[1.0]] * 2 + [[1.0] * 4] * 3))
    sentence = (
        r"core_items: vector has 3 numbers in 4 rows, but another length in 5 rows: item_id i4 has 1, item_id i5 has 1, item_id i6 has 4, "
        r"\.\.\.; expected equally many finite numbers for each item, made by one model; correct these rows or leave their vector empty"
    )
    with pytest.raises(PermanentError, match=sentence):
        delivery.clean("core_items")


def test_an_item_that_has_left_keeps_a_vector_of_the_same_model_only(delivery: Delivery) -> None:
    deliver(delivery, pa.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    delivery.clean("core_items")
    deliver(delivery, pa.array([[0.0, 1.0]]))
    delivery.clean("core_items")
    assert vectors(delivery) == {"i0": [0.0, 1.0], "i1": [0.0, 1.0], "i2": [1.0, 1.0]}
    deliver(delivery, pa.array([[1.0, 2.0, 3.0]] * 2))
    delivery.clean("core_items")
    assert vectors(delivery) == {"i0": [1.0, 2.0, 3.0], "i1": [1.0, 2.0, 3.0], "i2": None}

"""Codes of users and items, checked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.deep import fields
from hybridrec.deep.fields import FieldTable, context_of, item_fields, newest, user_fields, with_history, without
from hybridrec.types import TrainingData

# user 0 chose items 0 and 1, user 1 chose item 1, user 2 nothing; no user chose item 2
MATRIX = csr_array(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32))
USERS = pd.DataFrame(
    {
        "user_idx": range(3),
        "age_years": pd.array([20, None, 60], dtype="Int32"),
        "gender": ["F", "M", None],
        "occupation": None,
        "region": ["north"] * 3,
    }
)
ITEMS = pd.DataFrame(
    {
        "item_idx": range(3),
        "categories": [["drama", "war"], ["drama"], []],
        "brand": ["b", "a", ""],
        "provider": None,
        "price": np.array([np.nan, 5, 7], dtype=np.float32),
        "released_at": pd.Series([pd.NaT] * 3, dtype="datetime64[us, UTC]"),
    }
)
DATA = TrainingData(MATRIX, np.array([0.5, 8.25, 1.0]), ITEMS, np.zeros(3, np.float32), USERS, seed=1, threads=1)
NO_DENSE = np.zeros((3, 0), dtype=np.float32)


def test_a_label_has_a_code_and_a_missing_one_has_none() -> None:
    assert fields.label_codes(pd.Series(["b", None, "a", "", "b"])).tolist() == [2, 0, 1, 0, 2]
    assert fields.label_codes(pd.Series([None, None])).tolist() == [0, 0]


def test_numbers_are_bucketed_by_quantile() -> None:
    ages = pd.Series(pd.array([*range(10, 90, 10), None], dtype="Int32"))
    assert fields.bucket_codes(ages).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0]
    assert fields.bucket_codes(pd.Series([np.nan, np.nan])).tolist() == [0, 0]


def test_counts_are_bucketed_by_powers_of_two() -> None:
    assert fields.count_codes(np.array([0, 1, 2, 3, 4, 7, 8])).tolist() == [0, 1, 2, 2, 3, 3, 4]


def test_only_the_most_active_have_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fields.id_codes(np.array([3, 0, 5, 1])).tolist() == [1, 0, 2, 3]
    monkeypatch.setattr(fields, "MAX_IDS", 2)
    assert fields.id_codes(np.array([3, 0, 5, 3])).tolist() == [1, 0, 2, 0]


def test_each_field_has_codes_of_its_own() -> None:
    users = user_fields(replace(DATA, split="last_per_user"))
    assert users.layout.names == ("user", "age", "gender", "history_length"), "no user has an occupation, all live in the north"
    assert users.codes.tolist() == [[1, 3, 5, 8], [2, 0, 6, 7], [0, 4, 0, 0]]
    assert users.layout.n_codes == 9


def test_items_have_bags_of_categories() -> None:
    items = item_fields(DATA, NO_DENSE)
    assert items.layout.names == ("item", "brand", "price", "popularity")
    assert items.codes.tolist() == [[1, 4, 0, 7], [2, 3, 5, 8], [0, 0, 6, 0]]
    assert items.layout.bags == {"categories": 2}
    assert items.bags["categories"].toarray().tolist() == [[0.5, 0.5], [1, 0], [0, 0]]
    assert items.described().tolist() == [True, True, True]
    assert items.only(("item",)).described().tolist() == [True, True, False]


def test_context_is_unknown_until_it_is_filled_in() -> None:
    users = user_fields(DATA)
    assert users.layout.names[-2:] == ("hour", "weekday")
    assert not users.codes[:, -2:].any()
    first = users.layout.n_codes - 31
    codes = context_of(users).codes(DATA.last_event_day)
    assert codes["hour"].tolist() == [first + 12, first + 6, first]
    assert codes["weekday"].tolist() == [first + 24, first + 25, first + 25]
    assert not context_of(user_fields(replace(DATA, split="last_per_user"))).codes(DATA.last_event_day)


def test_a_history_is_the_newest_items() -> None:
    days = np.array([5.0, 1.0, 3.0])
    matrix = csr_array(np.array([[9, 9, 0], [0, 0, 0], [0, 0, 9]], dtype=np.float32))
    assert newest(matrix, days, 1).toarray().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert newest(matrix, days, 2).toarray().tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]]


def test_a_target_is_no_part_of_its_own_bag() -> None:
    bag = newest(csr_array(np.array([[1, 1, 1], [0, 1, 0], [1, 1, 0]], dtype=np.float32)), np.zeros(6), 3)
    assert without(bag, np.array([1, 1, 2])).toarray().tolist() == [[0.5, 0, 0.5], [0, 0, 0], [0.5, 0.5, 0]]


def test_a_users_dense_numbers_are_the_mean_of_the_historys() -> None:
    items = item_fields(DATA, np.array([[2, 0], [4, 6], [9, 9]], dtype=np.float32))
    asked = with_history(user_fields(DATA), newest(MATRIX, DATA.last_event_day, 2), items)
    assert asked.dense.tolist() == [[3, 3], [4, 6], [0, 0]]
    assert asked.layout.n_dense == 2 and asked.layout.bags == {"history": 3}


def test_a_saved_table_is_the_same(tmp_path: Path) -> None:
    table = item_fields(DATA, np.eye(3, dtype=np.float32))
    table.save(tmp_path, "items")
    loaded = FieldTable.load(tmp_path, "items")
    assert loaded.layout == table.layout
    np.testing.assert_array_equal(loaded.codes, table.codes)
    np.testing.assert_array_equal(loaded.dense, table.dense)
    np.testing.assert_array_equal(loaded.bags["categories"].toarray(), table.bags["categories"].toarray())

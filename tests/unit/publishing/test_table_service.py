"""The look-up service's tables besides the lists, over real HTTP and a real published file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridrec.serving import table_lookups
from hybridrec.serving.parameters import MAX_BASKET
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import BESIDE_LISTS
from tests.support.published_rows import publication, publish, tables
from tests.support.serving import Client, ids, serving


def test_a_user_gets_what_may_be_bought_again(client: Client) -> None:
    status, answer = client.get("/buy-again/u00002")
    assert (status, answer["user_id"], answer["version"], answer["run_id"]) == (200, "u00002", "v1", "run-v1")
    assert [(e["rank"], e["item_id"], e["title"], e["source"]) for e in answer["entries"]] == [
        (1, "i002", "Title one of i002", "buy_again"),
        (2, "i003", "Title one of i003", "buy_again"),
    ]
    assert ids(client.get("/buy-again/u00002?exclude=i002&k=1")[1]) == ["i003"]
    assert client.get("/buy-again/u00001") == (404, {"detail": "user 'u00001' has nothing to buy again in the live version"})


def test_a_basket_of_several_items_is_completed_by_the_sum_of_their_rows(client: Client) -> None:
    # i000: i001 .5, i002 .25, i003 .125, i004 .03; i001: i000 .5, i002 .25, i003 .125, i004 .03
    status, answer = client.get("/bought-together?items=i000&items=i001,i999")
    assert (status, answer["item_ids"], answer["unknown"]) == (200, ["i000", "i001", "i999"], ["i999"])
    assert ids(answer) == ["i002", "i003", "i004"]
    assert [round(entry["score"], 4) for entry in answer["entries"]] == [0.5, 0.25, 0.06]
    assert [entry["rank"] for entry in answer["entries"]] == [1, 2, 3]
    assert ids(client.get("/bought-together?items=i000,i001&exclude=i002&k=1")[1]) == ["i003"]
    assert ids(client.get("/bought-together?items=i000,i000")[1]) == ids(client.get("/bought-together?items=i000")[1])


def test_an_unknown_basket_is_a_404_and_none_a_422(client: Client) -> None:
    assert client.get("/bought-together?items=i998,i999") == (
        404,
        {"detail": "'i998', 'i999': bought with nothing else in the live version"},
    )
    status, answer = client.get("/bought-together")
    assert (status, answer["detail"].startswith("items is")) == (422, True)
    many = ",".join(f"x{n}" for n in range(MAX_BASKET + 1))
    assert client.get(f"/bought-together?items={many}") == (
        422,
        {"detail": f"items has {MAX_BASKET + 1} ids, expected at most {MAX_BASKET}"},
    )


def test_an_item_has_an_audience(client: Client) -> None:
    status, answer = client.get("/items/i000/audience?k=2")
    assert (status, answer["item_id"], answer["version"]) == (200, "i000", "v1")
    assert [(user["rank"], user["user_id"], user["score"]) for user in answer["users"]] == [(1, "u00001", 3.0), (2, "u00002", 2.0)]
    _, rest = client.get("/items/i000/audience?exclude=u00001")
    assert [(user["rank"], user["user_id"]) for user in rest["users"]] == [(1, "u00002"), (2, "u00000")]
    assert client.get("/items/i007/audience") == (404, {"detail": "item 'i007' has no audience in the live version"})


def test_a_user_has_a_list_on_each_surface(client: Client) -> None:
    status, answer = client.get("/recommendations/u00002?surface=cart")
    assert (status, ids(answer), answer["reason"], answer["version"]) == (200, ["i002", "i003"], "ranked", "v1")
    assert ids(client.get("/recommendations/u00002?surface=cart&exclude=i002")[1]) == ["i003"]
    assert ids(client.get("/recommendations/u00002?surface=recommendations")[1]) == ids(client.get("/recommendations/u00002")[1])
    status, stranger = client.get("/recommendations/stranger?surface=cart")
    assert (status, ids(stranger), stranger["reason"], stranger["user_id"]) == (200, ["i000", "i001"], "unknown_user", "stranger")
    assert client.get("/recommendations/u00002?surface=app") == (
        404,
        {"detail": "the live version has no surface 'app'; hybridrec.toml names them, as [surfaces.email]"},
    )
    assert client.get("/recommendations/u00002?surface=no;such")[0] == 422


def test_items_on_the_rise(client: Client) -> None:
    status, answer = client.get("/trending?k=2&exclude=i005")
    assert (status, answer["window_days"], ids(answer)) == (200, 7.0, ["i006", "i007"])
    assert [entry["rank"] for entry in answer["entries"]] == [1, 2]


def test_a_night_that_could_not_fill_the_tables_answers_404(tmp_path: Path) -> None:
    target = SqliteTarget(tmp_path / "recommendations.db")
    target.stage(publication("v1"), tables("one") | dict.fromkeys(BESIDE_LISTS, ()))
    target.switch_to("v1", 3)
    with serving(target) as client:
        for path in ("/buy-again/u00002", "/bought-together?items=i001", "/items/i000/audience", "/trending"):
            assert client.get(path)[0] == 404
        assert client.get("/recommendations/u00001")[0] == 200


def test_openapi_describes_the_tables(client: Client) -> None:
    status, found = client.get("/openapi.json")
    assert status == 200
    expected = {"/buy-again/{user_id}", "/bought-together", "/items/{item_id}/audience", "/trending"}
    assert expected <= set(found["paths"])
    for path in expected:
        described = found["paths"][path]["get"]
        assert {"k", "exclude"} <= {parameter["name"] for parameter in described["parameters"]}
        assert {"200", "404", "422", "503"} <= set(described["responses"])
    basket = next(p for p in found["paths"]["/bought-together"]["get"]["parameters"] if p["name"] == "items")
    assert basket["required"]
    shapes = found["components"]["schemas"]
    asked = {
        "BuyAgain": "/buy-again/u00002",
        "BoughtTogether": "/bought-together?items=i001",
        "ItemAudience": "/items/i000/audience",
        "Trending": "/trending",
    }
    for shape, path in asked.items():
        assert all(field["description"] and field["examples"] for field in shapes[shape]["properties"].values())
        assert set(client.get(path)[1]) == set(shapes[shape]["properties"]) == set(shapes[shape]["required"])


@pytest.mark.parametrize("k", [1, 3])
def test_the_library_gives_the_same(tmp_path: Path, k: int) -> None:
    target = SqliteTarget(tmp_path / "recommendations.db")
    publish(target, "v1", "one")
    found = table_lookups.bought_together(target, ["i001", "i000"], k)
    assert found is not None
    assert [entry.item_id for entry in found.entries] == ["i002", "i003", "i004"][:k]
    assert table_lookups.as_lines(found)[0] == "Bought together with i001, i000"

"""What a request brought, listed; and what it would make the model read, counted."""

from base64 import b64encode
from typing import Any

import openai
import pytest

from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite

MESSAGES: list[Any] = [{"role": "user", "content": f"word{number}"} for number in range(5)]


async def test_the_input_of_a_response_is_listed_page_by_page(site: OpenSite) -> None:
    async with site(says("ok")) as here, here.sdk() as client:
        made = await client.responses.create(model="demo", input=MESSAGES)
        newest = await client.responses.input_items.list(made.id, limit=2)
        shown: list[Any] = newest.data
        assert [item.content[0].text for item in shown] == ["word4", "word3"]
        assert newest.has_more
        everything = [item async for item in client.responses.input_items.list(made.id, limit=2)]
        oldest = await client.responses.input_items.list(made.id, order="asc", limit=100)
        assert [item.id for item in reversed(everything)] == [item.id for item in oldest.data]
        got = (await here.http.get(f"/v1/responses/{made.id}/input_items")).json()
    assert (got["object"], got["has_more"]) == ("list", False)
    assert (got["first_id"], got["last_id"]) == (everything[0].id, everything[-1].id)
    assert all(
        item["id"].startswith(f"msg_{made.id.removeprefix('resp_')}") for item in got["data"]
    )


async def test_items_of_an_input_are_named_by_their_ids_later(site: OpenSite) -> None:
    async with site(says("ok"), says("again")) as here, here.sdk() as client:
        made = await client.responses.create(model="demo", input="remember")
        (item,) = (await client.responses.input_items.list(made.id)).data
        await client.responses.create(
            model="demo", input=[{"type": "item_reference", "id": str(item.id)}]
        )
        assert here.mesh.context.assemblies[-1].input[0].text == "remember"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "CANARY"}, "limit"),
        ({"order": "CANARY"}, "order"),
        ({"after": "CANARY"}, "after"),
        ({"after": "x" * 300}, "after"),
        ({"include": "CANARY"}, "include[0]"),
        ({"include[]": "CANARY"}, "include[][0]"),
    ],
)
async def test_a_wrong_query_is_named(
    site: OpenSite, query: dict[str, str | int], param: str
) -> None:
    async with site(says("ok")) as here:
        made = (await here.http.post("/v1/responses", json={"model": "demo", "input": "a"})).json()
        got = await here.http.get(f"/v1/responses/{made['id']}/input_items", params=query)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert "CANARY" not in got.text


async def test_input_is_counted_as_the_model_would_read_it(site: OpenSite) -> None:
    """A word is a token here."""
    async with site() as here, here.sdk() as client:
        counted = await client.responses.input_tokens.count(model="demo", input="one two three")
        assert (counted.object, counted.input_tokens) == ("response.input_tokens", 3)
        tools: Any = [{"type": "function", "name": "f", "parameters": {}}]
        more = {"tools": tools, "instructions": "Be kind.", "reasoning": {"effort": "low"}}
        await client.responses.input_tokens.count(model="demo", input=MESSAGES, **more)
        assembly = here.mesh.context.assemblies[-1]
        assert ([tool.name for tool in assembly.tools], assembly.instructions) == (
            ["f"],
            "Be kind.",
        )
        assert assembly.template_options == {"reasoning_effort": '"low"'}
        assert len(assembly.input) == 5
        long = await client.responses.input_tokens.count(model="demo", input="x " * 5000)
        assert long.input_tokens == 5000
        assert not here.mesh.inference.generations


async def test_counting_continues_a_response_without_saying_anything(site: OpenSite) -> None:
    async with site(says("ok")) as here, here.sdk() as client:
        made = await client.responses.create(model="demo", input="a")
        counted = await client.responses.input_tokens.count(
            model="demo", previous_response_id=made.id
        )
        assert counted.input_tokens == 0
        assert here.mesh.context.assemblies[-1].parent_id == made.id
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.input_tokens.count(
                model="demo", input="a", previous_response_id="resp_none"
            )
        assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None, "input": "a"}, "model"),
        ({"input": "a"}, "model"),
        ({"model": "demo"}, "input"),
        ({"model": "demo", "input": None}, "input"),
        ({"model": 5, "input": "a"}, "model"),
        ({"model": "CANARY", "input": "a"}, "model"),
        ({"model": "demo", "input": 5}, "input"),
        ({"model": "demo", "input": [{"type": "CANARY"}]}, "input[0]"),
        ({"model": "demo", "input": "a", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "demo", "input": "a", "truncation": "CANARY"}, "truncation"),
    ],
)
async def test_a_wrong_field_is_named(site: OpenSite, body: dict[str, Any], param: str) -> None:
    async with site() as here:
        got = await here.http.post("/v1/responses/input_tokens", json=body)
    assert got.status_code in {400, 404}
    assert got.json()["error"]["param"] == param
    assert "CANARY" not in got.text


def attached(name: str, media_type: str, content: bytes) -> list[dict[str, Any]]:
    encoded = b64encode(content).decode()
    data = f"data:{media_type};base64,{encoded}"
    part = {"type": "input_file", "filename": name, "file_data": data}
    return [{"role": "user", "content": [{"type": "input_text", "text": "Look:"}, part]}]


async def test_a_text_file_is_read_and_moderated_like_what_is_said(site: OpenSite) -> None:
    async with site(says("ok")) as here:
        body = {"model": "demo", "input": attached("a.csv", "text/csv", b"x,y\n1,2")}
        got = (await here.http.post("/v1/responses", json=body)).json()
        assert got["status"] == "completed"
        (message,) = here.mesh.context.assemblies[-1].input
        assert message.text == 'Look:\n<file name="a.csv">\nx,y\n1,2\n</file>'  # type: ignore[union-attr]
        body = {"model": "demo", "input": attached("a.txt", "text/plain", b"so forbidden")}
        blocked = await here.http.post("/v1/responses", json=body)
        assert blocked.json()["error"]["code"] == "content_policy_violation"


async def test_a_file_that_is_no_text_is_kept_and_listed(site: OpenSite) -> None:
    async with site(says("I cannot read it.")) as here:
        body = {"model": "demo", "input": attached("a.pdf", "application/pdf", b"%PDF-1.4")}
        got = (await here.http.post("/v1/responses", json=body)).json()
        assert got["status"] == "completed"
        items = (await here.http.get(f"/v1/responses/{got['id']}/input_items")).json()
    _, file = items["data"][0]["content"]
    assert (file["type"], file["filename"]) == ("input_file", "a.pdf")
    assert file["file_data"] == body["input"][0]["content"][1]["file_data"]  # type: ignore[index]

"""What was stored of a response, over the official SDK."""

from dataclasses import replace
from typing import Any

import openai
import pytest

from services.gateway.guard import OutputModeration
from tests.fakes.mesh import calls, says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.responses.test_events import KEYS


async def test_a_response_is_continued_fetched_and_erased(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a", metadata={"k": "v"})
        second = await client.responses.create(
            model="demo", input="b", previous_response_id=first.id
        )
        fetched = await client.responses.retrieve(first.id)
        assert fetched.output_text == "one"
        assert fetched.metadata == {"k": "v"}
        assert second.previous_response_id == first.id
        assert here.mesh.context.assemblies[1].parent_id == first.id
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)


async def test_a_response_that_is_not_stored_cannot_be_fetched(site: OpenSite) -> None:
    async with site(says("one")) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)


async def test_a_response_is_streamed_again(site: OpenSite) -> None:
    async with site(says("one two")) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a", stream=True)
        seen = [event.model_dump() async for event in first]
        ident = seen[0]["response"]["id"]
        again = await client.responses.retrieve(ident, stream=True)
        assert [event.model_dump() async for event in again] == seen
        later = await client.responses.retrieve(ident, stream=True, starting_after=3)
        assert [event.model_dump() async for event in later] == seen[4:]


async def test_a_response_whose_events_are_gone_is_told_again(site: OpenSite) -> None:
    scripts = (calls(("double", '{"n": 1}')), says("two", reasoning="hm"))
    async with site(*scripts) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a")
        here.mesh.clock.now += 10_000
        again = await client.responses.retrieve(first.id, stream=True)
        events = [event async for event in again]
        assert events[-1].type == "response.completed"
        assert events[-1].response.output == first.output
        with pytest.raises(openai.APIStatusError) as caught:
            await client.responses.retrieve(first.id, stream=True, starting_after=3)
        assert caught.value.status_code == 410


async def test_a_response_under_way_is_streamed_to_its_end(site: OpenSite) -> None:
    script = replace(says("one two three", "four"), pause_before=1)
    async with site(script, mode=OutputModeration.OFF) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a", store=False, stream=True)
        begun: Any = await anext(first)
        again = await client.responses.retrieve(begun.response.id, stream=True)
        script.go_on.set()
        theirs, ours = [e async for e in first], [e async for e in again]
        assert ours == [begun, *theirs]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"stream": "CANARY"}, "stream"),
        ({"stream": "true", "starting_after": -1}, "starting_after"),
        ({"stream": "true", "starting_after": 2**40}, "starting_after"),
        ({"stream": "true", "starting_after": "CANARY"}, "starting_after"),
    ],
)
async def test_a_wrong_query_is_named(
    site: OpenSite, query: dict[str, str | int], param: str
) -> None:
    async with site() as here:
        got = await here.http.get("/v1/responses/resp_1", params=query)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert "CANARY" not in got.text


async def test_what_is_erased_or_was_not_stored_is_not_streamed(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here, here.sdk() as client:
        erased = await client.responses.create(model="demo", input="a")
        await client.responses.delete(erased.id)
        never = await client.responses.create(model="demo", input="a", store=False)
        for ident in (erased.id, never.id, "resp_none"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(ident, stream=True)


async def test_a_turn_of_chat_completions_is_fetched_as_a_response_with_every_key(
    site: OpenSite,
) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "store": True}
    async with site(says("one")) as here:
        made = (await here.http.post("/v1/chat/completions", json=body)).json()
        ident = made["id"].replace("chatcmpl-", "resp_")
        got = (await here.http.get(f"/v1/responses/{ident}")).json()
    assert set(got) >= KEYS
    assert "include_usage" not in got
    assert got["temperature"] == 1.0
    assert got["output"][0]["content"][0]["text"] == "one"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_input_with_one_id_for_several_items_is_listed_to_its_end(
    site: OpenSite, order: Any
) -> None:
    items: Any = [{"role": "user", "content": text, "id": "x"} for text in "abc"]
    async with site(says("one")) as here, here.sdk() as client:
        made = await client.responses.create(model="demo", input=items)
        texts = []
        async for item in client.responses.input_items.list(made.id, limit=1, order=order):
            texts.append(item.model_dump()["content"][0]["text"])
            assert len(texts) <= len(items)
    assert texts == (["a", "b", "c"] if order == "asc" else ["c", "b", "a"])

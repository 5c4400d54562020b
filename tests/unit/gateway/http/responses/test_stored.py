"""What was stored of a response, over the official SDK."""

import openai
import pytest

from tests.fakes.mesh import says
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

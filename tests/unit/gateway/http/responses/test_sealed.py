"""Reasoning that the caller keeps: sealed, given back, and read again by the model."""

import json
from typing import Any

from services.gateway.ports import Account, AccountKind
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite, Site

INCLUDE = "reasoning.encrypted_content"
BODY: dict[str, Any] = {"model": "demo", "input": "what is 2+2?", "store": False}


async def posted(here: Site, **fields: Any) -> dict[str, Any]:
    got = await here.http.post("/v1/responses", json={**BODY, **fields})
    whole: dict[str, Any] = got.json()
    return whole


async def test_the_model_reads_its_reasoning_again(site: OpenSite) -> None:
    async with site(says("4", reasoning="2+2 is 4"), says("yes")) as here:
        first = await posted(here, include=[INCLUDE])
        thought = first["output"][0]
        assert "2+2" not in thought["encrypted_content"]
        # The summary is the caller's to change: what the model reads is what was sealed.
        thought["summary"] = [{"type": "summary_text", "text": "2+2 is 5"}]
        second = await posted(here, input=[*first["output"], {"role": "user", "content": "sure?"}])
        assert second["status"] == "completed"
        given = here.mesh.context.assemblies[-1].input[0]
    assert given.text == "2+2 is 4"  # type: ignore[union-attr]


async def test_the_stream_and_the_whole_have_the_same_seal(site: OpenSite) -> None:
    async with site(says("4", reasoning="2+2")) as here:
        body = {**BODY, "include": [INCLUDE], "stream": True}
        got = await here.http.post("/v1/responses", json=body)
    lines = [line[6:] for line in got.text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    (done,) = (
        event["item"]
        for event in events
        if event["type"] == "response.output_item.done" and event["item"]["type"] == "reasoning"
    )
    assert done["encrypted_content"]
    assert events[-1]["response"]["output"][0] == done


async def test_nothing_is_sealed_unasked_and_a_stored_response_can_be_asked_later(
    site: OpenSite,
) -> None:
    async with site(says("4", reasoning="2+2"), says("ok")) as here:
        made = await posted(here, store=True)
        assert "encrypted_content" not in made["output"][0]
        for name in ("include", "include[]"):
            params = {name: INCLUDE}
            got = (await here.http.get(f"/v1/responses/{made['id']}", params=params)).json()
            assert got["output"][0]["encrypted_content"]
        again = await posted(here, input=[*got["output"], {"role": "user", "content": "?"}])
        assert again["status"] == "completed"


async def test_what_was_sealed_for_others_is_refused_by_its_field(site: OpenSite) -> None:
    async with site(says("4", reasoning="2+2")) as here:
        first = await posted(here, include=[INCLUDE])
        eve = Account("acct_eve", "Eve", AccountKind.PERSONAL)
        key = await here.mesh.authenticator.create_key(eve)
        thought = first["output"][0]
        items = [{"type": "mcp_list_tools"}, {"role": "user", "content": "a"}, thought]
        body = {**BODY, "input": items}
        headers = {"authorization": f"Bearer {key}"}
        for sealed, who in (
            (thought["encrypted_content"], headers),
            (thought["encrypted_content"][:-3] + "AAA", {}),
            ("CANARY", {}),
        ):
            thought["encrypted_content"] = sealed
            got = await here.http.post("/v1/responses", json=body, headers=who)
            error = got.json()["error"]
            assert (got.status_code, error["param"]) == (400, "input[2].encrypted_content")
            assert error["code"] == "invalid_encrypted_content"
            assert "CANARY" not in got.text

"""Log probabilities that were asked for are kept with the response."""

import json
from typing import Any

from services.gateway.guard import OutputModeration
from services.inference.api import Delta, EngineDead, Piece, TokenLogprob
from tests.fakes.mesh import BOUNDS, Script, calls, finished
from tests.unit.gateway.http.conftest import OpenSite, Site

ASK: dict[str, Any] = {
    "model": "demo",
    "input": "hello",
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 1,
    "tools": [{"type": "mcp", "server_label": "chatmesh"}],
}
OFF = OutputModeration.OFF
WORDS = ("It ", "is ", "4.")


def pieces() -> list[Piece]:
    """A token each, with its likeliest."""
    told = []
    for number, word in enumerate(WORDS):
        likeliest = TokenLogprob(number, word, -0.5)
        logprob = TokenLogprob(number, word, -0.5, (likeliest,))
        told.append(Piece((Delta(0, ids=(number,), text=word, logprobs=(logprob,)),)))
    return told


def tokens(response: dict[str, Any]) -> list[str]:
    told = response["output"][-1]["content"][0]["logprobs"]
    assert all(len(each["top_logprobs"]) == 1 for each in told)
    return [each["token"] for each in told]


async def fetched(site: Site, response_id: str) -> dict[str, Any]:
    got: dict[str, Any] = (await site.http.get(f"/v1/responses/{response_id}")).json()
    return got


async def test_a_stored_response_shows_them_as_it_did_at_first(site: OpenSite) -> None:
    script = Script(finished(pieces()))
    async with site(calls(("double", '{"n": 2}')), script, mode=OFF) as here:
        made = (await here.http.post("/v1/responses", json=ASK)).json()
        assert tokens(made) == [*WORDS]
        assert await fetched(here, made["id"]) == made
        here.mesh.clock.now += BOUNDS.kept_seconds + 1
        told = await here.http.get(f"/v1/responses/{made['id']}?stream=true")
    last = json.loads(told.text.split("data: ")[-2])
    assert last["response"] == made
    assert '"response.output_text.delta"' in told.text


async def test_one_that_has_failed_keeps_them_too(site: OpenSite) -> None:
    script = Script(pieces(), failure=EngineDead("the engine has died"))
    async with site(script, mode=OFF) as here:
        body = {**ASK, "background": True, "stream": True}
        told = await here.http.post("/v1/responses", json=body)
        failed = json.loads(told.text.split("data: ")[-2])["response"]
        assert (failed["status"], tokens(failed)) == ("failed", [*WORDS])
        assert (await fetched(here, failed["id"]))["output"] == failed["output"]

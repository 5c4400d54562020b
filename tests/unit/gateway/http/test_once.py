"""`Idempotency-Key`: the same request, sent again, is one turn."""

import json
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.fakes.mesh import BOUNDS, Script, says
from tests.unit.gateway.http.conftest import OpenSite, Site

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
ASK: dict[str, Any] = {"model": "demo", "input": "hi"}
ROUTES = [("/v1/chat/completions", CHAT), ("/v1/responses", ASK)]


async def post(site: Site, path: str, body: dict[str, Any], key: str) -> httpx.Response:
    return await site.http.post(path, json=body, headers={"idempotency-key": key})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_the_same_answer_comes_again(
    site: OpenSite, path: str, body: dict[str, Any], stream: bool
) -> None:
    async with site(says("one"), says("two")) as here:
        asked = {**body, "stream": stream}
        first = await post(here, path, asked, "k1")
        again = await post(here, path, asked, "k1")
        other = await post(here, path, asked, "k2")
        assert len(here.mesh.inference.generations) == 2
        assert len(here.mesh.accounts.entries) == 2
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert "one" in first.text
    assert "two" in other.text


async def test_an_answer_comes_again_when_its_events_are_gone(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here:
        first = await post(here, "/v1/responses", ASK, "k")
        here.mesh.clock.now += BOUNDS.kept_seconds + 1
        again = await post(here, "/v1/responses", ASK, "k")
        assert again.json() == first.json()
        unstored = {**ASK, "store": False}
        await post(here, "/v1/responses", unstored, "k2")
        here.mesh.clock.now += BOUNDS.kept_seconds + 1
        gone = await post(here, "/v1/responses", unstored, "k2")
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "events_gone")
        assert len(here.mesh.inference.generations) == 2


async def test_a_key_is_for_one_request(site: OpenSite) -> None:
    async with site(says("one")) as here:
        await post(here, "/v1/responses", ASK, "k")
        for path, body in (("/v1/responses", {**ASK, "input": "ho"}), ROUTES[0]):
            refused = await post(here, path, body, "k")
            assert refused.status_code == 400
            assert refused.json()["error"]["code"] == "idempotency_key_reused"
        assert len(here.mesh.inference.generations) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
async def test_what_is_no_key_is_told(site: OpenSite, key: str) -> None:
    async with site(says("one")) as here:
        headers = {b"idempotency-key": key.encode()}
        got = await here.http.post("/v1/responses", json=ASK, headers=headers)
        assert got.status_code == 400
        assert got.json()["error"]["param"] == "Idempotency-Key"
        assert not here.mesh.inference.generations


async def test_what_failed_runs_again(site: OpenSite) -> None:
    async with site(says("one")) as here:
        wrong = {**ASK, "model": "another"}
        assert (await post(here, "/v1/responses", wrong, "k")).status_code == 404
        assert (await post(here, "/v1/responses", wrong, "k")).status_code == 404
        await post(here, "/v1/responses", ASK, "k2")
        assert len(here.mesh.inference.generations) == 1


async def test_a_request_that_is_under_way_is_joined(site: OpenSite) -> None:
    script = Script(says("one", "two").pieces, pause_before=1)
    async with site(script) as here, AsyncExitStack() as stack:
        asked = {**ASK, "stream": True}
        headers = {"idempotency-key": "k"}
        readers = [
            await stack.enter_async_context(
                here.http.stream("POST", "/v1/responses", json=asked, headers=headers)
            )
            for _ in range(2)
        ]
        script.go_on.set()
        first, second = [[line async for line in each.aiter_lines()] for each in readers]
        assert len(here.mesh.inference.generations) == 1
    assert first == second
    assert json.loads(first[1].removeprefix("data: "))["type"] == "response.created"

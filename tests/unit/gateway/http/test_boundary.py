"""What HTTP itself promises, whatever is asked for: methods, origins, types, ids, and bugs."""

import asyncio

import httpx
import pytest

from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.played import PlayedFront, playing, turn

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
PREFLIGHT = {
    "authorization": "",
    "origin": "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses/resp_1", "/v1/models"])
async def test_a_browser_may_ask_first_without_a_key(site: OpenSite, path: str) -> None:
    async with site() as here:
        got = await here.http.options(path, headers=PREFLIGHT)
    assert got.status_code == 200
    assert got.headers["access-control-allow-origin"] == "*"
    assert "x-stainless-os" in got.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in got.headers


@pytest.mark.parametrize("key", ["", None])
async def test_a_browser_may_read_answers_and_refusals(site: OpenSite, key: str | None) -> None:
    headers = {"origin": "https://app.example"} | ({} if key is None else {"authorization": key})
    async with site() as here:
        got = await here.http.get("/v1/models", headers=headers)
    assert got.status_code == (200 if key is None else 401)
    assert got.headers["access-control-allow-origin"] == "*"
    assert "x-request-id" in got.headers["access-control-expose-headers"]


async def test_only_the_origins_that_are_configured_may(site: OpenSite) -> None:
    async with playing(PlayedFront([]), cors_origins=("https://good.example",)) as http:
        for origin, allowed in (("https://good.example", True), ("https://app.example", False)):
            got = await http.options("/v1/models", headers={**PREFLIGHT, "origin": origin})
            assert (got.headers.get("access-control-allow-origin") == origin) == allowed


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/chat/completions", "OPTIONS, POST"),
        ("/v1/responses/resp_1", "DELETE, GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    site: OpenSite, path: str, allowed: str
) -> None:
    async with site() as here:
        got = await here.http.put(path)
        asked = await here.http.options(path)
    assert (got.status_code, got.headers["allow"]) == (405, allowed)
    assert (asked.status_code, asked.headers["allow"]) == (204, allowed)
    assert got.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/v1/models/demo"])
async def test_head_answers_as_get_does(site: OpenSite, path: str) -> None:
    async with site() as here:
        got, head = await here.http.get(path), await here.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_a_slash_at_the_end_means_nothing(site: OpenSite) -> None:
    async with site(says("ok")) as here:
        made = await here.http.post("/v1/chat/completions/", json=CHAT)
        assert (await here.http.get("/v1/models/")).json()["object"] == "list"
        assert (await here.http.get("/v1/models/demo/")).json()["id"] == "demo"
        assert (await here.http.get("/")).status_code == 404
    assert made.status_code == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
async def test_a_wrong_content_type_is_named(site: OpenSite, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    async with site() as here:
        got = await here.http.post("/v1/responses", content=b'{"model": "x"}', headers=headers)
    assert got.status_code == 415
    assert "Content-Type" in got.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["Application/JSON; charset=utf-8", "application/vnd.api+json"])
async def test_every_kind_of_json_is_read(site: OpenSite, kind: str) -> None:
    body = b'{"model": "demo", "input": "hi"}'
    async with site(says("ok")) as here:
        got = await here.http.post("/v1/responses", content=body, headers={"content-type": kind})
    assert got.status_code == 200


async def test_answers_carry_ids_and_how_long_they_took(site: OpenSite) -> None:
    async with site() as here:
        got = await here.http.get("/v1/models", headers={"x-client-request-id": "mine-1"})
        odd = await here.http.get("/v1/models", headers={"x-client-request-id": "x" * 600})
    assert got.headers["x-client-request-id"] == "mine-1"
    assert got.headers["openai-processing-ms"].isdecimal()
    assert "x-client-request-id" not in odd.headers


async def test_the_connection_lives_after_a_bug() -> None:
    """With the request's id, and readable for browsers."""
    front = PlayedFront([], failure=ValueError("what the user said"))
    async with playing(front) as http, asyncio.timeout(10):
        seen = []
        for _ in range(2):
            headers = {"origin": "https://app.example"}
            got = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
            assert (got.status_code, got.json()["error"]["message"]) == (500, "internal error")
            assert {"x-request-id", "access-control-allow-origin"} <= set(got.headers)
            seen.append(got.extensions["network_stream"].get_extra_info("client_addr"))
        front.events, front.failure = turn(), None
        again = await http.post("/v1/chat/completions", json=CHAT)
        seen.append(again.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(seen)) == 1


async def test_a_bug_in_the_middle_of_a_stream_breaks_it() -> None:
    front = PlayedFront(turn()[:6], failure=ValueError("what the user said"))
    async with playing(front) as http, asyncio.timeout(10):
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/v1/chat/completions", json={**CHAT, "stream": True})

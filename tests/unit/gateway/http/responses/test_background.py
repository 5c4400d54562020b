"""Responses in the background: seen under way, read again, cancelled and erased."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.responses import Response as SdkResponse

from services.gateway.guard import OutputModeration
from services.inference.api import EngineDead
from tests.fakes.mesh import Script, calls, limits_of, says
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.responses.test_events import KEYS, OWN

BODY: dict[str, Any] = {"model": "demo", "input": "hello", "background": True}
OFF = OutputModeration.OFF


def paused(*texts: str) -> Script:
    """Says the texts, and waits before the last of them for a test's word."""
    return replace(says(*texts), pause_before=len(texts) - 1)


async def begun(here: Site, script: Script) -> dict[str, Any]:
    """A response in the background whose model waits."""
    got = await here.http.post("/v1/responses", json=BODY)
    assert got.status_code == 200, got.text
    await asyncio.wait_for(script.paused.wait(), 5)
    made: dict[str, Any] = got.json()
    return made


async def fetched(here: Site, ident: str) -> dict[str, Any]:
    got = await here.http.get(f"/v1/responses/{ident}")
    assert got.status_code == 200, got.text
    whole: dict[str, Any] = got.json()
    return whole


async def streamed(here: Site, ident: str, after: int = -1) -> bytes:
    query: dict[str, str | int] = {
        "stream": "true",
        **({"starting_after": after} if after >= 0 else {}),
    }
    got = await here.http.get(f"/v1/responses/{ident}", params=query)
    assert got.status_code == 200, got.text
    return got.content


async def test_it_says_of_which_conversation_it_is_whatever_becomes_of_it(site: OpenSite) -> None:
    """A stream that fails says so too."""
    failing = Script(says("a ", "b ").pieces[:2], pause_before=1, failure=EngineDead("died"))
    async with site(failing, paused("a ", "b "), mode=OFF) as here:
        chat = (await here.http.post("/v1/conversations", json={})).json()["id"]
        for script in [*here.mesh.inference.scripts]:
            body = {**BODY, "conversation": chat}
            made = (await here.http.post("/v1/responses", json=body)).json()
            await asyncio.wait_for(script.paused.wait(), 5)
            told = [made, await fetched(here, made["id"])]
            if script.failure:
                script.go_on.set()
                last = (await streamed(here, made["id"])).decode().split("data: ")[-2]
                told.append(json.loads(last)["response"])
            else:
                told.append((await here.http.post(f"/v1/responses/{made['id']}/cancel")).json())
            told.append(await fetched(here, made["id"]))
            assert [each["status"] for each in told[:2]] == ["in_progress", "in_progress"]
            assert [each["status"] for each in told[2:]] in (["failed"] * 2, ["cancelled"] * 2)
            assert [each["conversation"] for each in told] == [{"id": chat}] * 4
        listed = await here.http.get(f"/v1/conversations/{chat}/items")
        assert listed.json()["data"] == []


async def test_it_answers_at_once_and_is_fetched_when_it_is_complete(site: OpenSite) -> None:
    script = paused("a ", "b ", "c")
    async with site(script, mode=OFF) as here:
        made = await begun(here, script)
        assert set(made) >= KEYS
        assert (made["status"], made["background"], made["output"]) == ("in_progress", True, [])
        assert SdkResponse.model_validate(made)
        under_way = await fetched(here, made["id"])
        assert (under_way["status"], under_way["usage"]) == ("in_progress", None)
        script.go_on.set()
        await streamed(here, made["id"])
        whole = await fetched(here, made["id"])
    assert (whole["status"], whole["background"]) == ("completed", True)
    assert whole["id"] == made["id"]
    assert whole["output"][0]["content"][0]["text"] == "a b c"


async def test_what_is_whole_is_seen_while_the_rest_is_under_way(site: OpenSite) -> None:
    script = paused("a ", "b")
    scripts = (calls(("double", '{"n": 21}')), script)
    async with site(*scripts, mode=OFF) as here:
        got = await here.http.post("/v1/responses", json={**BODY, "tools": [OWN]})
        await asyncio.wait_for(script.paused.wait(), 5)
        under_way = await fetched(here, got.json()["id"])
        (call,) = under_way["output"]
        assert (call["type"], call["status"], call["output"]) == ("mcp_call", "completed", "42")
        items = (await here.http.get(f"/v1/responses/{under_way['id']}/input_items")).json()
        assert items["data"][0]["content"][0]["text"] == "hello"
        script.go_on.set()


async def test_a_turn_in_the_foreground_is_seen_under_way_too(site: OpenSite) -> None:
    script = paused("a ", "b")
    async with site(script, mode=OFF) as here, here.sdk() as client:
        stream = await client.responses.create(model="demo", input="a", stream=True)
        first: Any = await anext(stream)
        under_way = await client.responses.retrieve(first.response.id)
        assert (under_way.status, under_way.background) == ("in_progress", False)
        script.go_on.set()
        assert [event async for event in stream][-1].type == "response.completed"


async def test_one_that_will_not_be_stored_is_not_there(site: OpenSite) -> None:
    script = paused("a ", "b")
    async with site(script, mode=OFF) as here, here.sdk() as client:
        stream = await client.responses.create(model="demo", input="a", stream=True, store=False)
        first: Any = await anext(stream)
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            got = await here.http.request(method, f"/v1/responses/{first.response.id}{path}")
            assert got.status_code == 404
        script.go_on.set()
        assert [event async for event in stream][-1].type == "response.completed"


async def test_a_streamed_one_goes_on_without_its_reader_and_every_reader_gets_the_same_bytes(
    site: OpenSite,
) -> None:
    script = paused("a ", "b ", "c")
    async with site(script, mode=OFF) as here:
        request = here.http.stream("POST", "/v1/responses", json={**BODY, "stream": True})
        async with request as left_early:
            seen = b""
            async for piece in left_early.aiter_raw():
                seen += piece
                if b"output_text.delta" in seen:
                    break
        await asyncio.wait_for(script.paused.wait(), 5)
        ident = seen.split(b'"id":"', 1)[1].split(b'"', 1)[0].decode()
        readers = [asyncio.create_task(streamed(here, ident)) for _ in range(2)]
        back = asyncio.create_task(streamed(here, ident, after=3))
        script.go_on.set()
        one, other = await asyncio.gather(*readers)
        assert one == other == await streamed(here, ident)
        assert one.startswith(seen[: seen.rindex(b"\n\n") + 2])
        assert one.endswith(await back)
        assert b"event: response.completed" in one
        later = (await back).split(b"data: ", 1)[1]
        assert b'"sequence_number":4' in later.split(b"\n", 1)[0]


async def test_a_cancelled_one_keeps_what_it_has_said(site: OpenSite) -> None:
    script = paused("a ", "b ", "c")
    async with site(script, mode=OFF) as here, here.sdk() as client:
        made = await begun(here, script)
        reader = asyncio.create_task(streamed(here, made["id"]))
        cancelled = await client.responses.cancel(made["id"])
        again = await client.responses.cancel(made["id"])
        whole = await fetched(here, made["id"])
        assert here.mesh.inference.aborted == 1
        assert cancelled.status == again.status == whole["status"] == "cancelled"
        assert (whole["error"], whole["usage"], whole["completed_at"]) == (None, None, None)
        (said,) = whole["output"]
        assert (said["status"], said["content"][0]["text"]) == ("incomplete", "a b ")
        assert cancelled.model_dump() == again.model_dump()
        events = (await reader).decode()
        assert "event: error" not in events
        assert '"status":"cancelled"' in events
        # Told again from the store, the end is the same.
        here.mesh.clock.now += 10_000
        assert '"status":"cancelled"' in (await streamed(here, made["id"])).decode()


async def test_what_is_over_or_not_in_the_background_cannot_be_cancelled(site: OpenSite) -> None:
    script = paused("a ", "b")
    async with site(says("done"), says("plain"), script, mode=OFF) as here:
        over = (await here.http.post("/v1/responses", json=BODY)).json()["id"]
        await streamed(here, over)
        plain = await here.http.post("/v1/responses", json={**BODY, "background": False})
        for ident, status, code in (
            (over, 409, "response_not_cancellable"),
            (plain.json()["id"], 400, None),
            ("resp_none", 404, "not_found"),
        ):
            got = await here.http.post(f"/v1/responses/{ident}/cancel")
            assert (got.status_code, got.json()["error"]["code"]) == (status, code), got.text
            assert got.json()["error"]["param"] == "response_id"
        async with here.sdk() as client:
            stream = await client.responses.create(model="demo", input="a", stream=True)
            first: Any = await anext(stream)
            with pytest.raises(openai.BadRequestError):
                await client.responses.cancel(first.response.id)
            script.go_on.set()
            assert [event async for event in stream][-1].type == "response.completed"


async def test_one_that_failed_says_why_and_keeps_what_it_has_said(site: OpenSite) -> None:
    script = Script(says("a ", "b").pieces[:2], failure=EngineDead("the engine has died"))
    async with site(script, mode=OFF) as here:
        made = (await here.http.post("/v1/responses", json=BODY)).json()
        events = (await streamed(here, made["id"])).decode()
        whole = await fetched(here, made["id"])
        over = await here.http.post(f"/v1/responses/{made['id']}/cancel")
    assert whole["status"] == "failed"
    assert whole["error"] == {"code": "server_error", "message": "the engine has died"}
    assert whole["output"][0]["content"][0]["text"] == "a b"
    assert SdkResponse.model_validate(whole)
    assert "event: response.failed" in events
    assert over.status_code == 409


async def test_one_that_is_wrong_is_refused_and_is_no_response(site: OpenSite) -> None:
    async with site() as here:
        got = await here.http.post("/v1/responses", json={**BODY, "model": "other"})
        assert got.status_code == 404
        blocked = await here.http.post("/v1/responses", json={**BODY, "input": "forbidden"})
        assert (blocked.status_code, here.mesh.context.recorded) == (400, [])


async def test_erasing_one_stops_it_and_nothing_of_it_is_kept(site: OpenSite) -> None:
    script = paused("a ", "b")
    async with site(script, mode=OFF) as here:
        made = await begun(here, script)
        erased = await here.http.delete(f"/v1/responses/{made['id']}")
        assert erased.json()["deleted"]
        assert (here.mesh.inference.aborted, here.mesh.context.recorded) == (1, [])
        for method, path in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            got = await here.http.request(method, f"/v1/responses/{made['id']}{path}")
            assert got.status_code == 404, (method, path)


async def test_how_many_there_may_be_is_bounded(site: OpenSite) -> None:
    scripts = [paused("a ", "b") for _ in range(3)]
    async with site(*scripts, mode=OFF, limits=limits_of(background_turns=2)) as here:
        for script in scripts[:2]:
            await begun(here, script)
        got = await here.http.post("/v1/responses", json=BODY)
        assert (got.status_code, got.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert got.headers["retry-after"]
        plain = asyncio.create_task(
            here.http.post("/v1/responses", json={**BODY, "background": False})
        )
        await asyncio.wait_for(scripts[2].paused.wait(), 5)
        for script in scripts:
            script.go_on.set()
        assert (await plain).status_code == 200


async def test_a_follow_up_the_moment_it_is_complete_finds_its_parent(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here, here.sdk() as client:
        stream = await client.responses.create(**BODY, stream=True)
        ids = set()
        async for event in stream:
            if event.type in {"response.created", "response.completed"}:
                ids.add(event.response.id)
            if event.type == "response.completed":
                follow_up = await client.responses.create(
                    model="demo", input="and?", previous_response_id=event.response.id
                )
        assert ids == {follow_up.previous_response_id}
        assert follow_up.output_text == "two"

"""What readers are told of a turn that stops in the middle, by the types of both specifications."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import openai
import pytest
from openresponses_types.types import ErrorStreamingEvent

from services.gateway.api import Failed, TurnCancelled, TurnEvent
from services.gateway.client import GatewayClient
from services.gateway.guard import OutputModeration
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.retelling import retold, so_far
from services.inference.api import EngineDead
from services.shared.errors import MeshError
from tests.clients.response_events import SPECIFIED, check_openai
from tests.contract.test_gateway import HELLO, served
from tests.fakes.mesh import Script, says
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.played import turn
from tests.unit.gateway.http.responses.talking import calling

DIED, CANCELLED = EngineDead("the engine has died"), TurnCancelled("the response was cancelled")
BODY: dict[str, Any] = {"model": "demo", "input": "hello"}
PIECES = ("one ", "two ")
# Which event ends what the other began.
ENDINGS = {
    "response.output_item.added": "response.output_item.done",
    "response.content_part.added": "response.content_part.done",
    "response.reasoning_summary_part.added": "response.reasoning_summary_part.done",
}


def presented(events: Sequence[TurnEvent]) -> list[JsonObject]:
    presenter = ResponsesPresenter()
    return [shown for event in events for shown in presenter.present(event)]


def place(event: JsonObject) -> tuple[str, int]:
    return event["type"], event["output_index"]


def check(events: Sequence[JsonObject]) -> None:
    """All that began has ended once, as the response has it; all is of the types of both."""
    check_openai(events)
    for event in events:
        if "mcp_call" not in json.dumps(event):  # what the mesh runs, Open Responses does not know
            SPECIFIED[event["type"]].model_validate(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    told = [place(event) for event in events if "output_index" in event]
    for began, ended in ENDINGS.items():
        places = [number for kind, number in told if kind == began]
        assert [number for kind, number in told if kind == ended] == places
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    texts = {e["item_id"]: e["text"] for e in events if e["type"] == "response.output_text.done"}
    for item in done:
        if item["type"] == "message":
            assert texts[item["id"]] == item["content"][0]["text"]


@pytest.mark.parametrize("heard", range(1, len(turn()) - 1))
@pytest.mark.parametrize("why", [DIED, CANCELLED], ids=["failed", "cancelled"])
def test_every_item_ends_wherever_the_turn_stops(heard: int, why: MeshError) -> None:
    failed = Failed.with_error(why)
    events = turn()[:heard]
    shown = presented([*events, failed])
    check(shown)
    kinds = [event["type"] for event in shown]
    assert kinds.count("error") == (why is DIED)
    assert kinds[-1] == "response.failed"
    response = so_far(events).failed(failed)
    unfinished = [item["id"] for item in shown[-1]["response"]["output"] if half(item)]
    assert unfinished == sorted(response.unfinished)
    again = presented([*retold(response)])
    check(again)
    assert again[-1]["response"]["output"] == shown[-1]["response"]["output"]


def half(item: JsonObject) -> bool:
    return bool(item["status"] == "incomplete")


def test_half_of_a_call_is_not_announced_as_done() -> None:
    kinds = {event["type"] for event in presented([*turn()[:-4], Failed.with_error(DIED)])}
    assert "response.function_call_arguments.delta" in kinds
    assert "response.function_call_arguments.done" not in kinds


def dying() -> Script:
    return Script(says(*PIECES).pieces[:2], failure=DIED)


async def over_sse(site: Site, **fields: bool) -> list[JsonObject]:
    got = await site.http.post("/v1/responses", json={**BODY, "stream": True, **fields})
    lines = [line for line in got.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def over_socket(site: Site) -> list[JsonObject]:
    async with calling(site) as caller:
        await caller.create()
        return await caller.until("response.failed")


async def over_grpc(site: Site) -> list[JsonObject]:
    presenter = ResponsesPresenter()
    async with served(site.mesh) as channel:
        turn_events = GatewayClient(channel, site.mesh.key, timeout=5).respond(HELLO)
        async with aclosing(turn_events) as events:
            return [shown async for each in events for shown in presenter.present(each.event)]


async def test_a_turn_that_fails_is_told_the_same_on_every_carrier(site: OpenSite) -> None:
    """But that a socket tells of the failure once, in `response.failed`."""
    told = []
    for carrier in (over_sse, over_socket, over_grpc):
        async with site(dying(), mode=OutputModeration.OFF) as here:
            events = await carrier(here)
        kinds = [event["type"] for event in events]
        if carrier is over_socket:
            assert "error" not in kinds
            last = {**events[-1], "sequence_number": len(events) - 1}
            check([*events[:-1], last])
        else:
            check(events)
            kinds.remove("error")
        (item,) = events[-1]["response"]["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", "".join(PIECES))
        told.append(kinds)
    assert told[0] == told[1] == told[2]


async def test_an_error_is_both_flat_and_nested(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here:
        (error,) = [event for event in await over_sse(here) if event["type"] == "error"]
    check_openai([error])
    nested = ErrorStreamingEvent.model_validate(error).error
    for name in ("code", "message", "param"):
        assert error[name] == getattr(nested, name)
    assert (nested.type, nested.code) == ("server_error", "service_unavailable")


async def test_a_failed_response_says_why_in_openais_words(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here:
        *_, error, failed = await over_sse(here)
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    response = failed["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")


async def test_openais_sdk_raises_it(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here, here.sdk() as client:
        stream = await client.responses.create(**BODY, stream=True)
        with pytest.raises(openai.APIError, match="the engine has died") as raised:
            async for _ in stream:
                pass
    assert raised.value.code == "service_unavailable"


async def test_a_failed_response_is_fetched_as_its_stream_told_it(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here:
        *_, last = await over_sse(here, background=True)
        got = await here.http.get(f"/v1/responses/{last['response']['id']}")
    assert last["type"] == "response.failed"
    assert got.json()["output"] == last["response"]["output"]


async def test_a_stream_that_failed_is_found_by_the_id_that_it_told(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here:
        created, *_, last = await over_sse(here)
        got = await here.http.get(f"/v1/responses/{created['response']['id']}")
    assert (got.status_code, got.json()) == (200, last["response"])
    assert (got.json()["status"], got.json()["error"]["code"]) == ("failed", "server_error")


async def test_what_failed_without_telling_its_id_is_not_kept(site: OpenSite) -> None:
    async with site(dying(), mode=OutputModeration.OFF) as here:
        got = await here.http.post("/v1/responses", json=BODY)
        assert got.status_code == 503
        assert here.mesh.context.recorded == []

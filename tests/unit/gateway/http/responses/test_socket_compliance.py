"""Open Responses' checks of WebSockets, written from its specification."""

from typing import Any

from openresponses_types.types import WebSocketErrorEvent

from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.responses.talking import calling

USER = [{"type": "message", "role": "user", "content": "Count from 1 to 5."}]
RESULT = [{"type": "function_call_output", "call_id": "call_none", "output": "{}"}]


def check_not_found(told: dict[str, Any]) -> None:
    WebSocketErrorEvent.model_validate(told)
    assert (told["status"], told["error"]["code"]) == (404, "previous_response_not_found")
    assert told["error"]["param"] == "previous_response_id"


async def test_websocket_response(site: OpenSite) -> None:
    async with site(says("1 2 ", "3 4 5")) as here, calling(here) as caller:
        await caller.create(USER)
        events = await caller.until()
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    assert events[0]["type"] == "response.created"
    assert events[-1]["response"]["status"] == "completed"


async def test_websocket_sequential_responses(site: OpenSite) -> None:
    async with site(says("1"), says("2")) as here, calling(here) as caller:
        for _ in range(2):
            response = await caller.answer("Say it.", store=False)
            assert response["status"] == "completed"


async def test_websocket_continuation(site: OpenSite) -> None:
    async with site(says("1"), says("2")) as here, calling(here) as caller:
        first = await caller.answer(USER, store=False)
        second = await caller.answer("And then?", store=False, previous_response_id=first["id"])
        assert second["status"] == "completed"
        assert second["previous_response_id"] == first["id"]


async def test_websocket_reconnect_store_false_recovery(site: OpenSite) -> None:
    async with site(says("1"), says("2")) as here:
        async with calling(here) as caller:
            first = await caller.answer(USER, store=False)
        async with calling(here) as caller:
            told = await caller.answer("And?", store=False, previous_response_id=first["id"])
            check_not_found(told)
            assert (await caller.answer(USER, store=False))["status"] == "completed"


async def test_websocket_previous_response_not_found(site: OpenSite) -> None:
    async with site(says("1")) as here, calling(here) as caller:
        unknown = "resp_" + "0" * 32
        check_not_found(await caller.answer(USER, store=False, previous_response_id=unknown))
        assert (await caller.answer(USER))["status"] == "completed"


async def test_websocket_failed_continuation_evicts_cache(site: OpenSite) -> None:
    async with site(says("1")) as here, calling(here) as caller:
        first = await caller.answer(USER, store=False)
        told = await caller.answer(RESULT, store=False, previous_response_id=first["id"])
        WebSocketErrorEvent.model_validate(told)
        assert (told["status"], told["error"]["param"]) == (400, "input[0]")
        again = await caller.answer("And?", store=False, previous_response_id=first["id"])
        check_not_found(again)

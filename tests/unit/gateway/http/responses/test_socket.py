"""What is said on a socket of the Responses API: lanes, what it remembers, and steering."""

import asyncio
from dataclasses import replace
from typing import Any

import openai
import pytest

from services.gateway.guard import OutputModeration
from services.shared.errors import Unavailable
from tests.fakes.mesh import Script, calls, says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.conversations.test_routes import file_of
from tests.unit.gateway.http.responses.talking import Caller, Event, calling, text

OFF = OutputModeration.OFF
OWN = [{"type": "mcp", "server_label": "chatmesh"}]
CITY = [{"type": "function", "name": "city", "parameters": {"type": "object"}}]


def pausing(*texts: str) -> Script:
    return replace(says(*(texts or ("one ", "two "))), pause_before=1)


def said_to_model(site: Any) -> list[str]:
    """What the last prompt was made of, as far as it is not stored."""
    return [item.text for item in site.mesh.context.assemblies[-1].input]


async def test_events_are_those_of_the_stream_over_http(site: OpenSite) -> None:
    async with site(says("one ", "two"), says("one ", "two")) as here, here.sdk() as client:
        stream = await client.responses.create(model="demo", input="hi", stream=True)
        streamed = [event.type async for event in stream]
        async with calling(here) as caller:
            await caller.create(stream=True, stream_options={"include_obfuscation": False})
            assert [event["type"] for event in await caller.until()] == streamed


async def test_the_official_client_speaks_it(site: OpenSite) -> None:
    async with (
        site(says("one"), says("two")) as here,
        here.sdk() as client,
        client.responses.connect() as connection,
    ):
        previous: str | openai.Omit = openai.omit
        for expected in ("one", "two"):
            await connection.response.create(
                model="demo", input="hi", store=False, previous_response_id=previous
            )
            async for event in connection:
                if event.type == "response.completed":
                    assert event.response.output_text == expected
                    previous = event.response.id
                    break


async def test_responses_of_one_lane_are_made_one_after_another(site: OpenSite) -> None:
    script = pausing()
    async with site(script, says("three"), mode=OFF) as here, calling(here) as caller:
        await caller.create()
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        assert here.mesh.inference.running == 1
        script.go_on.set()
        for expected in ("one two ", "three"):
            events = await caller.until()
            assert len({event.get("response", {}).get("id") for event in events} - {None}) == 1
            assert text(events[-1]["response"]) == expected
            assert "stream_id" not in events[0]


async def test_lanes_run_at_once_and_events_say_of_which_they_are(site: OpenSite) -> None:
    scripts = [pausing(), says("three")]
    async with site(*scripts, mode=OFF) as here, calling(here) as caller:
        await caller.create(stream_id="slow")
        await asyncio.wait_for(scripts[0].paused.wait(), 5)
        await caller.create(stream_id="fast.2")
        events = await caller.until()
        assert (events[-1]["stream_id"], text(events[-1]["response"])) == ("fast.2", "three")
        scripts[0].go_on.set()
        events += await caller.until()
        assert {event["stream_id"] for event in events} == {"slow", "fast.2"}
        assert [e["sequence_number"] for e in events if e["stream_id"] == "slow"] == [*range(10)]


async def test_an_error_says_of_which_lane_it_is(site: OpenSite) -> None:
    async with site() as here, calling(here) as caller:
        told = await caller.answer(model="none", stream_id="a")
        assert (told["stream_id"], told["error"]["code"]) == ("a", "model_not_found")
        assert "stream_id" not in await caller.answer(stream_id="a b")


async def test_a_socket_has_so_many_lanes(site: OpenSite) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        for number in range(32):
            await caller.answer(model="none", stream_id=f"lane-{number}")
        told = await caller.answer(stream_id="one-more")
        assert told["error"]["code"] == "websocket_stream_limit_reached"
        assert text(await caller.answer()) == "one"  # in the lane without a name
        assert (await caller.answer(model="none", stream_id="lane-3"))["status"] == 404


async def test_no_more_than_so_many_messages_wait(site: OpenSite) -> None:
    script = pausing()
    async with site(script, mode=OFF) as here, calling(here) as caller:
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        for _ in range(65):
            await caller.create(model="none")
        told = (await caller.until("error"))[-1]
        assert (told["status"], told["error"]["code"]) == (503, "rate_limit_exceeded")
        script.go_on.set()
        await caller.until("response.completed")
        for _ in range(64):
            assert (await caller.next())["error"]["code"] == "model_not_found"


async def test_a_chain_that_is_not_stored_is_remembered_here(site: OpenSite) -> None:
    scripts = [says("one"), says("two"), says("three"), says("four")]
    async with site(*scripts) as here, calling(here) as caller:
        first = await caller.answer("a", store=False)
        second = await caller.answer("b", store=False, previous_response_id=first["id"])
        assert said_to_model(here) == ["a", "one", "b"]
        third = await caller.answer("c", store=False, previous_response_id=second["id"])
        assert third["previous_response_id"] == second["id"]
        assert said_to_model(here) == ["a", "one", "b", "two", "c"]
        # From one before the last: both ways go on.
        await caller.answer("d", store=False, previous_response_id=first["id"])
        assert said_to_model(here) == ["a", "one", "d"]
        assert not here.mesh.context.recorded


async def test_stored_and_unstored_turns_go_on_from_each_other(site: OpenSite) -> None:
    scripts = [says("one"), says("two"), says("three"), says("four")]
    async with site(*scripts) as here, here.sdk() as client, calling(here) as caller:
        stored = await caller.answer("a")
        unstored = await caller.answer("b", store=False, previous_response_id=stored["id"])
        assert here.mesh.context.assemblies[-1].parent_id == stored["id"]
        again = await caller.answer("c", previous_response_id=unstored["id"])
        assert here.mesh.context.assemblies[-1].parent_id == stored["id"]
        assert said_to_model(here) == ["b", "two", "c"]
        # What is stored holds all that was not, so it can be continued from anywhere.
        kept = here.mesh.context.recorded[-1]
        assert [item.text for item in kept.input] == ["b", "two", "c"]  # type: ignore[union-attr]
        assert kept.parent_id == stored["id"]
        fetched = await client.responses.retrieve(again["id"])
        assert fetched.previous_response_id == unstored["id"]
        last = await client.responses.create(
            model="demo", input="d", previous_response_id=again["id"]
        )
        assert last.output_text == "four"


async def test_what_is_remembered_is_read_by_moderation_again(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here, calling(here) as caller:
        first = await caller.answer("my secret", store=False)
        await caller.answer("b", store=False, previous_response_id=first["id"])
        assert said_to_model(here) == ["my [masked]", "one", "b"]


async def test_an_item_of_an_unstored_response_is_found_by_its_id(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as here, calling(here) as caller:
        first = await caller.answer("a", store=False)
        item = {"type": "item_reference", "id": first["output"][0]["id"]}
        again = {"role": "user", "content": "b"}
        await caller.answer([item, again], store=False, previous_response_id=first["id"])
        assert said_to_model(here) == ["a", "one", "one", "b"]


async def test_an_error_counts_items_as_the_caller_does(site: OpenSite) -> None:
    result = {"type": "function_call_output", "call_id": "none", "output": ""}
    async with site(says("one")) as here, calling(here) as caller:
        first = await caller.answer("a", store=False)
        message = {"role": "user", "content": "b"}
        told = await caller.answer([message, result], store=False, previous_response_id=first["id"])
        assert told["error"]["param"] == "input[1]"


async def test_a_function_is_answered_in_an_unstored_chain(site: OpenSite) -> None:
    async with site(calls(("city", "{}")), says("Oslo")) as here, calling(here) as caller:
        first = await caller.answer("a", store=False, tools=CITY)
        (call,) = first["output"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Oslo"}
        second = await caller.answer([result], store=False, previous_response_id=first["id"])
        assert text(second) == "Oslo"


@pytest.mark.parametrize(
    ("lane", "kept"), [(None, False), ("other", True)], ids=["same lane", "another"]
)
async def test_a_lane_forgets_what_it_could_not_go_on_from(
    site: OpenSite, lane: str | None, kept: bool
) -> None:
    async with site(says("one"), says("two")) as here, calling(here) as caller:
        first = await caller.answer("a", store=False)
        named = {"store": False, "previous_response_id": first["id"]}
        told = await caller.answer("a forbidden wish", **named, stream_id=lane)
        assert told["error"]["code"] == "content_policy_violation"
        again = await caller.answer("b", **named)
        code = again["error"] and again["error"]["code"]
        assert code == (None if kept else "previous_response_not_found")


async def test_a_response_that_fails_later_is_told_once_and_forgets_too(site: OpenSite) -> None:
    broken = Script(says("one ", "two").pieces[:2], failure=Unavailable("gone"))
    async with site(says("one"), broken, says("x")) as here, calling(here) as caller:
        first = await caller.answer("a", store=False)
        named = {"store": False, "previous_response_id": first["id"]}
        await caller.create("b", **named)
        events = await caller.until()
        assert events[-1]["type"] == "response.failed"
        told = await caller.answer("c", **named)
        assert told["error"]["code"] == "previous_response_not_found"


async def test_the_oldest_unstored_response_is_forgotten(site: OpenSite) -> None:
    scripts = [says(str(number)) for number in range(66)]
    async with site(*scripts) as here, calling(here) as caller:
        made = [await caller.answer("a", store=False) for _ in range(65)]
        told = await caller.answer(store=False, previous_response_id=made[0]["id"])
        assert told["error"]["code"] == "previous_response_not_found"
        last = await caller.answer(store=False, previous_response_id=made[-1]["id"])
        assert last["status"] == "completed"


@pytest.mark.parametrize("store", [True, False])
async def test_getting_ready_makes_a_response_without_output(site: OpenSite, store: bool) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        await caller.create("a", generate=False, store=store, stream=True)
        events = await caller.until()
        kinds = ["response.created", "response.in_progress", "response.completed"]
        assert [event["type"] for event in events] == kinds
        ready = events[-1]["response"]
        assert (ready["output"], ready["usage"]["output_tokens"]) == ([], 0)
        assert not here.mesh.inference.generations
        response = await caller.answer("b", store=False, previous_response_id=ready["id"])
        assert text(response) == "one"
        assembly = here.mesh.context.assemblies[-1]
        assert assembly.parent_id == (ready["id"] if store else "")
        assert said_to_model(here) == (["b"] if store else ["a", "b"])


@pytest.mark.parametrize("input", [None, [], ""])
async def test_getting_ready_needs_no_input(site: OpenSite, input: object) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        ready = await caller.answer(input, generate=False, store=False)
        response = await caller.answer("b", store=False, previous_response_id=ready["id"])
        assert text(response) == "one"
        assert said_to_model(here) == ["b"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "none"}, "model_not_found"),
        ({"previous_response_id": "resp_none"}, "previous_response_not_found"),
        ({"previous_response_id": "resp_none", "input": []}, "previous_response_not_found"),
        ({"input": "a forbidden wish"}, "content_policy_violation"),
        ({"input": "word " * 5000}, "context_length_exceeded"),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": {"type": 7}}]},
            "invalid_value",
        ),
    ],
)
async def test_getting_ready_is_checked(
    site: OpenSite, fields: dict[str, object], code: str
) -> None:
    async with site() as here, calling(here) as caller:
        told = await caller.answer(**{"input": "a", **fields}, generate=False)
        assert told["error"]["code"] == code


@pytest.mark.parametrize("input", [0, False, {}, 7])
async def test_getting_ready_takes_no_input_of_another_type(site: OpenSite, input: object) -> None:
    async with site() as here, calling(here) as caller:
        told = await caller.answer(input, generate=False)
        assert (told["status"], told["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("conversation", ["", {"id": ""}])
async def test_an_empty_id_is_that_of_no_conversation(site: OpenSite, conversation: object) -> None:
    async with site() as here, calling(here) as caller:
        told = await caller.answer(conversation=conversation)
        assert (told["status"], told["error"]["param"]) == (404, "conversation")
        body = {"model": "demo", "input": "hi", "conversation": conversation}
        for path in ("/v1/responses", "/v1/responses/input_tokens"):
            got = await here.http.post(path, json=body)
            assert (got.status_code, got.json()["error"]["param"]) == (404, "conversation")


async def begun(caller: Caller, script: Script, **fields: object) -> str:
    """A response that is being made, and pauses."""
    await caller.create("a", **fields)
    created = (await caller.until("response.created"))[0]
    await asyncio.wait_for(script.paused.wait(), 5)
    ident: str = created["response"]["id"]
    return ident


async def accepted(caller: Caller, response_id: str, words: object = "in French") -> Event:
    await caller.steer(response_id, words)
    return (await caller.until("response.steer.accepted", "response.steer.failed"))[-1]


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("lane", [None, "a"])
async def test_steering_begins_another_response(
    site: OpenSite, store: bool, lane: str | None
) -> None:
    script = pausing()
    async with site(script, says("deux"), says("c"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script, store=store, stream_id=lane)
        told = await accepted(caller, first)
        assert told["steer"] == {"id": told["steer"]["id"], "previous_response_id": first}
        assert told.get("stream_id") == lane
        script.go_on.set()
        assert (await caller.until())[-1]["response"]["id"] == first
        events = await caller.until()
        assert [e["sequence_number"] for e in events] == [*range(len(events))]
        second = events[-1]["response"]
        assert (second["previous_response_id"], text(second)) == (first, "deux")
        assert {event.get("stream_id") for event in events} == {lane}
        # Both ways to go on: after the words, and without them.
        await caller.answer("c", store=store, previous_response_id=second["id"], stream_id=lane)
        if not store:
            assert said_to_model(here) == ["a", "one two ", "in French", "deux", "c"]


async def test_a_response_is_steered_at_the_end_of_a_tool(site: OpenSite) -> None:
    script = replace(calls(("double", '{"n": 1}')), pause_before=1)
    async with site(script, says("deux")) as here, calling(here) as caller:
        first = await begun(caller, script, tools=OWN)
        await accepted(caller, first)
        script.go_on.set()
        ended = (await caller.until())[-1]
        assert ended["type"] == "response.incomplete"
        assert ended["response"]["incomplete_details"] == {"reason": "steered"}
        assert text((await caller.until())[-1]["response"]) == "deux"


async def test_words_wait_for_what_a_function_returns(site: OpenSite) -> None:
    script = replace(calls(("city", "{}")), pause_before=2)
    async with site(script, says("Oslo"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script, tools=CITY, store=False)
        told = await accepted(caller, first)
        script.go_on.set()
        completed = (await caller.until())[-1]["response"]
        (call,) = completed["output"]
        pending = await caller.next()
        assert pending["type"] == "response.steer.pending"
        assert pending["reason"] == "waiting_for_required_input"
        assert pending["steer"] == told["steer"]
        wanted = {"type": "function_call_output", "call_id": call["call_id"], "name": "city"}
        assert pending["required_input"] == [wanted]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Oslo"}
        # A response that cannot be begun takes nothing away.
        refused = await caller.answer(
            [result], model="none", previous_response_id=first, stream_id="other"
        )
        assert refused["error"]["code"] == "model_not_found"
        await caller.answer([result], store=False, previous_response_id=first)
        items = here.mesh.context.assemblies[-1].input
        assert [getattr(item, "text", "") for item in items] == ["a", "", "in French", "Oslo"]


@pytest.mark.parametrize(
    ("input", "code"),
    [
        (None, "invalid_input"),
        ("", "invalid_input"),
        ([], "invalid_input"),
        (7, "invalid_input"),
        ([{"role": "assistant", "content": "x"}], "invalid_input"),
        ([{"role": "user", "content": []}], "invalid_input"),
        ([{"role": "user", "content": "x", "phase": "commentary"}], "invalid_input"),
        ([{"type": "function_call_output", "call_id": "c", "output": "x"}], "invalid_input"),
        ("a forbidden wish", "content_policy_violation"),
        ("x" * 150_000, "invalid_input"),
    ],
)
async def test_words_that_cannot_be_taken_in_are_given_back(
    site: OpenSite, input: object, code: str
) -> None:
    script = pausing()
    async with site(script, says("deux"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script)
        await caller.steer(first, input)
        told = (await caller.until("response.steer.accepted", "response.steer.failed"))[-1]
        assert told["error"]["code"] == code
        assert told["steer"] == {"previous_response_id": first, "input": input}
        script.go_on.set()


async def test_files_among_the_words_are_read_before_they_are_accepted(site: OpenSite) -> None:
    script = pausing()
    async with site(script, says("deux"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script)
        told = await accepted(caller, first, [file_of("a forbidden word")])
        assert told["error"]["code"] == "content_policy_violation"
        told = await accepted(caller, first, [file_of("in French")])
        assert told["type"] == "response.steer.accepted"
        script.go_on.set()
        await caller.until()
        await caller.until()
        (said,) = said_to_model(here)
        assert "in French" in said


async def test_steering_is_for_responses_that_are_made_here(site: OpenSite) -> None:
    script = pausing()
    async with (
        site(says("one"), script, says("deux"), mode=OFF) as here,
        calling(here) as caller,
        calling(here) as other,
    ):
        over = await caller.answer()
        told = await accepted(caller, over["id"])
        assert told["error"]["code"] == "response_already_completed"
        running = await begun(other, script)
        for unknown in (running, "resp_none", ""):
            told = await accepted(caller, unknown)
            assert told["error"]["code"] == "response_not_found"
        await caller.say({"type": "response.steer", "previous_response_id": 7, "input": "x"})
        assert (await caller.next())["type"] == "response.steer.failed"
        script.go_on.set()


async def test_too_many_words_are_refused(site: OpenSite) -> None:
    script = pausing()
    async with site(script, says("deux"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script)
        for _ in range(8):
            assert (await accepted(caller, first))["type"] == "response.steer.accepted"
        told = await accepted(caller, first)
        assert told["error"]["code"] == "too_many_pending_steers"
        script.go_on.set()


async def test_words_that_no_response_can_answer_are_given_back(site: OpenSite) -> None:
    script = pausing()
    async with site(script, says("x"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script)
        long = "word " * 5000
        told = await accepted(caller, first, long)
        script.go_on.set()
        assert (await caller.until())[-1]["type"] == "response.completed"
        failed = await caller.next()
        assert failed["type"] == "response.steer.failed"
        assert failed["error"]["code"] == "successor_creation_failed"
        assert failed["steer"] == {**told["steer"], "input": long}
        assert text(await caller.answer()) == "x"


async def test_a_response_stays_when_no_other_one_could_answer_words_for_it(
    site: OpenSite,
) -> None:
    """Its caller did nothing wrong, and is to go on from it with the words that were given back."""
    script = pausing()
    async with site(script, says("x"), mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script, store=False)
        await accepted(caller, first, "word " * 5000)
        script.go_on.set()
        assert (await caller.until())[-1]["type"] == "response.completed"
        assert (await caller.next())["type"] == "response.steer.failed"
        again = await caller.answer("b", store=False, previous_response_id=first)
        assert text(again) == "x"
        assert said_to_model(here) == ["a", "one two ", "b"]


async def test_words_are_given_back_when_the_response_fails(site: OpenSite) -> None:
    script = Script(says("one ", "two ").pieces[:2], pause_before=1, failure=Unavailable("gone"))
    async with site(script, mode=OFF) as here, calling(here) as caller:
        first = await begun(caller, script)
        told = await accepted(caller, first)
        script.go_on.set()
        assert (await caller.until())[-1]["type"] == "response.failed"
        failed = await caller.next()
        assert failed["error"]["code"] == "response_not_active"
        assert failed["steer"]["id"] == told["steer"]["id"]


async def test_a_stream_over_http_is_steered_by_another_request(site: OpenSite) -> None:
    script = pausing()
    async with site(script, says("deux"), mode=OFF) as here, here.sdk() as client:
        stream = await client.responses.create(model="demo", input="hi", stream=True)
        begun: Any = await anext(stream)
        path = f"/v1/responses/{begun.response.id}/steer"
        steering = asyncio.create_task(here.http.post(path, json={"input": "in French"}))
        async with asyncio.timeout(5):
            while not here.mesh.front.live_turns.words_wait_for(begun.response.id):  # noqa: ASYNC110
                await asyncio.sleep(0)
        script.go_on.set()
        got = await asyncio.wait_for(steering, 5)
        events: list[Any] = [event async for event in stream]
    assert got.status_code == 200
    ends = [event.response for event in events if event.type == "response.completed"]
    assert [response.output_text for response in ends] == ["one two ", "deux"]
    assert got.json() == {
        "id": got.json()["id"],
        "object": "response.steer",
        "previous_response_id": begun.response.id,
        "response_id": ends[1].id,
    }


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": None}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": "x", "stream_id": "a"}, 400, "stream_id"),
        ({"input": [{"role": "system", "content": "x"}]}, 400, "input[0].role"),
        ({"input": "x"}, 409, None),
    ],
)
async def test_steering_over_http_is_refused_with_the_reason(
    site: OpenSite, body: object, status: int, param: str | None
) -> None:
    async with site(says("one")) as here, here.sdk() as client:
        made = await client.responses.create(model="demo", input="hi")
        got = await here.http.post(f"/v1/responses/{made.id}/steer", json=body)
        assert (got.status_code, got.json()["error"]["param"]) == (status, param)
        absent = await here.http.post("/v1/responses/resp_none/steer", json={"input": "x"})
        assert absent.status_code == 404


async def test_no_answer_stands_for_a_turn_and_what_it_goes_on_with_but_the_last(
    site: OpenSite,
) -> None:
    script = pausing()
    async with site(script, says("deux"), mode=OFF) as here, here.sdk() as client:
        creating = asyncio.create_task(client.responses.create(model="demo", input="hi"))
        await asyncio.wait_for(script.paused.wait(), 5)
        first = here.mesh.inference.generations[0].request_id.partition(".")[0]
        session = await here.mesh.front.session(here.mesh.key)
        await session.offer(first, here.mesh.context.assemblies[0].input)
        script.go_on.set()
        response = await asyncio.wait_for(creating, 5)
    assert (response.output_text, response.previous_response_id) == ("deux", first)

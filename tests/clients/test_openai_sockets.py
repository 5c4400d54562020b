"""OpenAI's SDKs on a socket: lanes, steering, and a response in the background.

The scripted engine answers, and waits in the middle of a reply where the test says so.
"""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.resources.responses.responses import ResponsesConnection

from .conftest import Scripted
from .test_openai_python import LONG

HELLO, FRENCH = "Hello to you!", "Bonjour."
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


@pytest.fixture
def sdk(scripted: Scripted) -> Iterator[openai.OpenAI]:
    scripted.when("Say hello.", HELLO)
    scripted.when("Tell me more.", LONG, hold_after=20)
    scripted.when("In French, please.", FRENCH)
    scripted.hold()
    with openai.OpenAI(
        base_url=scripted.base_url, api_key=scripted.api_key, max_retries=0, timeout=60
    ) as client:
        yield client
    scripted.release()


def until(connection: ResponsesConnection, *kinds: str) -> Any:
    """The first event of these kinds."""
    for event in connection:
        assert event.type != "error", event
        if event.type in kinds:
            return event
    raise AssertionError("the socket has closed")


def test_lanes_run_at_once(sdk: openai.OpenAI, scripted: Scripted) -> None:
    with sdk.responses.connect() as connection:
        create = connection.response.create
        create(model=scripted.model, input="Tell me more.", stream_id="slow")
        scripted.until_held()
        create(model=scripted.model, input="Say hello.", stream_id="fast")
        fast = until(connection, *ENDS)
        assert (fast.stream_id, fast.response.output_text) == ("fast", HELLO)
        scripted.release()
        slow = until(connection, *ENDS)
        assert (slow.stream_id, slow.response.output_text) == ("slow", LONG)


def test_a_response_is_steered(sdk: openai.OpenAI, scripted: Scripted) -> None:
    with sdk.responses.connect() as connection:
        connection.response.create(model=scripted.model, input="Tell me more.")
        first = until(connection, "response.created").response.id
        scripted.until_held()
        scripted.prompts()
        connection.response.steer(input="In French, please.", previous_response_id=first)
        accepted = until(connection, "response.steer.accepted", "response.steer.failed")
        assert (accepted.type, accepted.steer.previous_response_id) == (
            "response.steer.accepted",
            first,
        )
        scripted.release()
        assert until(connection, *ENDS).response.id == first
        successor = until(connection, *ENDS).response
        assert (successor.previous_response_id, successor.output_text) == (first, FRENCH)
        (prompt,) = scripted.prompts()
        assert prompt.count("In French, please.") == 1
        connection.response.steer(input="And now?", previous_response_id=first)
        refused = until(connection, "response.steer.accepted", "response.steer.failed")
        assert refused.type == "response.steer.failed"


def test_a_response_in_the_background_goes_on_without_its_socket(
    sdk: openai.OpenAI, scripted: Scripted
) -> None:
    with sdk.responses.connect() as connection:
        connection.response.create(model=scripted.model, input="Tell me more.", background=True)
        begun = until(connection, "response.created").response
        scripted.until_held()
    assert begun.background
    assert sdk.responses.retrieve(begun.id).status == "in_progress"
    scripted.release()
    *_, last = sdk.responses.retrieve(begun.id, stream=True)
    assert last.type == "response.completed"
    assert sdk.responses.retrieve(begun.id).output_text == LONG


def test_a_response_that_is_not_in_the_background_stops_with_its_socket(
    sdk: openai.OpenAI, scripted: Scripted
) -> None:
    """Against the one before: what goes on there does so because it is in the background."""
    with sdk.responses.connect() as connection:
        connection.response.create(model=scripted.model, input="Tell me more.")
        begun = until(connection, "response.created").response
        scripted.until_held()
    scripted.until_idle()
    for _ in sdk.responses.retrieve(begun.id, stream=True):
        pass  # until its end was kept
    assert sdk.responses.retrieve(begun.id).status == "cancelled"

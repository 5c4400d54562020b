"""JavaScript's clients, each a script in `node/`. The scripted engine answers."""

import json

import httpx
import pytest

from .conftest import Scripted, call, run_node
from .test_openai_python import LONG

HELLO, COLD, WELCOME = "Hello to you!", "It is 4 degrees.", "You are welcome."


@pytest.fixture(autouse=True)
def _lines(scripted: Scripted) -> None:
    scripted.when("Say hello.", HELLO)
    scripted.when("Is water wet?", '{"answer": "yes"}')
    scripted.when("weather in Oslo?", call("get_weather", {"location": "Oslo"}))
    scripted.when("4 degrees", COLD)
    scripted.when("And thanks.", WELCOME)


def test_openai_node(scripted: Scripted) -> None:
    seen = run_node("openai.mjs", scripted)
    assert seen == {"chat": HELLO, "response": HELLO, "told": COLD, "resumed": HELLO}


def test_openai_node_cancels(scripted: Scripted) -> None:
    scripted.hold()
    scripted.when("Never end.", "On and on and on and on and on.", hold_after=2)
    seen = run_node("openai_cancel.mjs", scripted)
    assert seen == {"cancelled": "cancelled", "stored": "cancelled"}
    scripted.until_idle()
    scripted.release()


def test_openai_node_on_a_socket(scripted: Scripted) -> None:
    assert run_node("openai_socket.mjs", scripted) == [HELLO, HELLO]


def test_openai_node_in_lanes(scripted: Scripted) -> None:
    """The response in the background goes on when its socket has closed."""
    scripted.hold()
    scripted.when("Tell me more.", LONG, hold_after=20)
    seen = run_node("openai_lanes.mjs", scripted)
    assert (seen["fast"], seen["steered"]) == (HELLO, True)
    later = f"{scripted.base_url}/responses/{seen['later']}"
    got = httpx.get(later, headers=scripted.headers, trust_env=False, timeout=60)
    assert got.json()["status"] == "in_progress"
    scripted.release()
    scripted.until_idle()
    told = httpx.get(f"{later}?stream=true", headers=scripted.headers, trust_env=False, timeout=60)
    last = json.loads(told.text.split("data: ")[-2])
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["content"][0]["text"] == LONG


@pytest.mark.parametrize("kind", ["responses", "chat"])
@pytest.mark.parametrize(
    ("ai", "openai"),
    [("ai", "@ai-sdk/openai"), ("ai-6", "@ai-sdk/openai-3")],
    ids=["AI SDK 7", "AI SDK 6"],
)
def test_ai_sdk(scripted: Scripted, ai: str, openai: str, kind: str) -> None:
    said = run_node("ai_sdk.mjs", scripted, AI=ai, OPENAI=openai, KIND=kind)
    assert said == [HELLO, COLD, WELCOME]


def test_openai_agents(scripted: Scripted) -> None:
    assert run_node("agents.mjs", scripted) == [COLD, COLD]

"""How a turn's events are got, on each carrier, and held against the specification."""

import enum
import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any, get_type_hints

import httpx
import openresponses_types
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from websockets.sync.client import ClientConnection, connect

from .conftest import Served

Event = dict[str, Any]
# To be removed with the marks that use them, when both are merged.
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}
_OPENAI: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def _kinds() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, model in inspect.getmembers(openresponses_types, inspect.isclass):
        if name.endswith("StreamingEvent"):
            (kind,) = get_type_hints(model)["type"]
            assert isinstance(kind, enum.Enum)
            assert issubclass(model, BaseModel)
            yield str(kind), model


# The specification's events by their types.
SPECIFIED = dict(_kinds())


def check_specified(events: Sequence[Event]) -> None:
    """Of turns with messages, functions and reasoning only: what the specification knows."""
    for event in events:
        SPECIFIED[event["type"]].model_validate(event)


def check_openai(events: Sequence[Event]) -> None:
    """Of all other turns: what openai-python knows."""
    for event in events:
        _OPENAI.validate_python(event)


def check_order(events: Sequence[Event]) -> None:
    """Numbered without gaps; begun once, ended once; each item begun, grown and ended as itself."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kind for kind in kinds if kind in ENDS] == kinds[-1:]
    assert events[0]["response"]["id"] == events[-1]["response"]["id"]
    for place, item in enumerate(events[-1]["response"]["output"]):
        of_item = [event for event in events if event.get("output_index") == place]
        assert of_item[0]["type"] == "response.output_item.added"
        assert of_item[-1]["type"] == "response.output_item.done"
        assert of_item[-1]["item"] == item
        for event in of_item[1:-1]:
            assert event["item_id"] == item["id"]


def over_sse(mesh: Served, body: Event) -> list[Event]:
    """The events, after the rules of the carrier were checked on the raw text."""
    answer = httpx.post(
        f"{mesh.base_url}/responses",
        json={**body, "model": mesh.model, "stream": True},
        headers=mesh.headers,
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")
    events = []
    for block in answer.text.removesuffix("data: [DONE]\n\n").strip().split("\n\n"):
        named, told = block.split("\n")
        event = json.loads(told.removeprefix("data: "))
        assert named == f"event: {event['type']}"
        events.append(event)
    return events


def socket_to(mesh: Served) -> ClientConnection:
    url = mesh.base_url.replace("http://", "ws://")
    return connect(f"{url}/responses", additional_headers=mesh.headers, proxy=None)


def over_socket(socket: ClientConnection, mesh: Served, **body: Any) -> list[Event]:
    """The events of one turn on a socket that stays open."""
    socket.send(json.dumps({"type": "response.create", "model": mesh.model, **body}))
    events: list[Event] = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(socket.recv(timeout=60)))
    return events


def post(mesh: Served, path: str, body: Event) -> httpx.Response:
    return httpx.post(
        f"{mesh.base_url}{path}", json=body, headers=mesh.headers, trust_env=False, timeout=60
    )


def message(role: str, content: Any, **more: Any) -> Event:
    return {"type": "message", "role": role, "content": content, **more}

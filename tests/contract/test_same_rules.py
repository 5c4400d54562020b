"""What one protocol refuses, the others do, in the same field and as the same kind of error.

Each row sends one wrong value over HTTP, over a WebSocket where it takes such a message, and over
gRPC, whose contract calls some fields otherwise.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from chatmesh.conversation.v1 import conversation_pb2 as item_pb
from chatmesh.gateway.v1 import gateway_pb2 as pb
from google.protobuf.message import Message

from services.shared.errors import MeshError
from services.shared.wire_errors import mesh_errors
from tests.contract.test_gateway import served
from tests.unit.gateway.http.conftest import Site, _site

HELLO: dict[str, Any] = {"role": "user", "content": "hello"}
SAID = item_pb.Item(
    message=item_pb.Message(role=item_pb.ROLE_USER, parts=[item_pb.Part(text="hello")])
)
CHAT, RESPONSES, CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"
PIXEL = b"\x89PNG"
BODIES: Mapping[str, dict[str, Any]] = {
    CHAT: {"model": "demo", "messages": [HELLO]},
    RESPONSES: {"model": "demo", "input": [HELLO]},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One wrong value; `param` is the field over HTTP, `theirs` over gRPC where it differs."""

    param: str
    body: Mapping[str, Any]
    message: Message
    theirs: str = ""
    path: str = RESPONSES
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def on_socket(self) -> bool:
        return self.path == RESPONSES and not self.headers


def respond(*items: item_pb.Item, **fields: Any) -> pb.RespondRequest:
    return pb.RespondRequest(model="demo", input=[SAID, *items], **fields)


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "name": "f", **fields}]}


def function(**fields: Any) -> pb.RespondRequest:
    return respond(functions=[pb.Function(**{"name": "f", **fields})])


def part(**fields: Any) -> dict[str, Any]:
    return {
        "input": [HELLO, {"role": "user", "content": [{"type": "input_text", "text": "x"}, fields]}]
    }


def with_part(**fields: Any) -> pb.RespondRequest:
    parts = [item_pb.Part(text="x"), item_pb.Part(**fields)]
    return respond(item_pb.Item(message=item_pb.Message(role=item_pb.ROLE_USER, parts=parts)))


def paging(name: str, value: Any) -> pb.Paging:
    return pb.Paging(**{name: value})


def grammar(syntax: str, definition: str) -> dict[str, Any]:
    wanted = {"type": "grammar", "syntax": syntax, "definition": definition}
    return {"text": {"format": wanted}}


def schema(**wanted: Any) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", "name": "x", "schema": wanted}}}


def custom(definition: str) -> dict[str, Any]:
    wanted = {"type": "grammar", "syntax": "regex", "definition": definition}
    return {"tools": [{"type": "custom", "name": "f", "format": wanted}]}


LONG = "x" * 65_537
BIG = 2**31
PART, THEIR_PART = "input[1].content[1]", "input[1].parts[1]"
NO_WORDS = item_pb.Item(message=item_pb.Message(role=item_pb.ROLE_SYSTEM))
NO_SCHEMAS: list[Any] = [[], "x", {"type": "CANARY"}, {"properties": {"x": 5}}]
WRONG_PAGES: list[tuple[str, Any]] = [("limit", 0), ("limit", 101), ("after", "x" * 257)]
SEVERAL = [{"type": "function", "name": f"f{n}"} for n in range(129)]
HELD = "data:{};base64,iVBORw=="
ROWS = [
    *(
        Row(name, {name: value}, respond(**{name: value}))
        for name, values in {
            "max_output_tokens": (0, BIG),
            "max_tool_calls": (BIG,),
            "temperature": (-0.5, 2.5),
            "top_p": (0, 1.5),
            "top_logprobs": (21,),
            "safety_identifier": ("x" * 257,),
        }.items()
        for value in values
    ),
    *(
        Row(name, {name: value}, respond(**{name: value}), path=CHAT)
        for name in ("presence_penalty", "frequency_penalty")
        for value in (-2.5, 2.5)
    ),
    Row("stop[1]", {"stop": ["a", ""]}, respond(stop=["a", ""]), path=CHAT),
    Row("stop", {"stop": ["a"] * 17}, respond(stop=["a"] * 17), path=CHAT),
    Row("tools[0].name", tool(name=""), function(name=""), "functions[0].name"),
    Row("tools[0].name", tool(name="a b"), function(name="a b"), "functions[0].name"),
    Row("tools[0].name", tool(name="f" * 65), function(name="f" * 65), "functions[0].name"),
    Row(
        "tools",
        {"tools": SEVERAL},
        respond(functions=[pb.Function(name=each["name"]) for each in SEVERAL]),
        "functions",
    ),
    *(
        Row(
            "tools[0].parameters",
            tool(parameters=wrong),
            function(parameters=json.dumps(wrong)),
            "functions[0].parameters",
        )
        for wrong in NO_SCHEMAS
    ),
    *(
        Row(
            "tools[0].format.definition",
            custom(wrong),
            function(text_input=pb.TextInput(regex=wrong)),
            "functions[0].text_input.regex",
        )
        for wrong in ("", LONG)
    ),
    Row(
        "text.format.schema",
        schema(type="CANARY"),
        respond(json_schema='{"type": "CANARY"}'),
        "json_schema",
    ),
    *(
        Row("text.format.definition", grammar(syntax, wrong), respond(**{syntax: wrong}), syntax)
        for syntax in ("regex", "lark", "ebnf")
        for wrong in ("", LONG)
    ),
    Row(
        "context_management[0].compact_threshold",
        {"context_management": [{"type": "compaction", "compact_threshold": BIG}]},
        respond(compact_threshold=BIG),
        "compact_threshold",
    ),
    Row(
        "tools[0].allowed_tools",
        {"tools": [{"type": "mcp", "server_label": "chatmesh", "allowed_tools": ["x"] * 257}]},
        respond(own_tools=pb.OwnTools(names=["x"] * 257)),
        "own_tools.names",
    ),
    Row("input", {"input": [HELLO] * 2049}, pb.RespondRequest(model="demo", input=[SAID] * 2049)),
    Row("input", {"input": []}, pb.RespondRequest(model="demo")),
    Row(
        "input[1].content",
        {"input": [HELLO, {"role": "system", "content": []}]},
        respond(NO_WORDS),
        "input[1].parts",
    ),
    Row(
        f"{PART}.image_url",
        part(type="input_image", image_url="ftp://x/y"),
        with_part(picture=item_pb.Picture(url="ftp://x/y")),
        f"{THEIR_PART}.url",
    ),
    Row(
        f"{PART}.image_url",
        part(type="input_image", image_url=HELD.format("text/html")),
        with_part(picture=item_pb.Picture(media_type="text/html", content=PIXEL)),
        f"{THEIR_PART}.media_type",
    ),
    Row(PART, part(type="input_image"), with_part(picture=item_pb.Picture()), THEIR_PART),
    Row(
        f"{PART}.detail",
        part(type="input_image", file_id="f", detail="x" * 33),
        with_part(picture=item_pb.Picture(file_id="f", detail="x" * 33)),
        f"{THEIR_PART}.detail",
    ),
    Row(
        PART,
        part(type="input_file", filename="a.txt"),
        with_part(file=item_pb.File(name="a.txt")),
        THEIR_PART,
    ),
    Row(
        f"{PART}.file_url",
        part(type="input_file", file_url="file:///etc/passwd"),
        with_part(file=item_pb.File(url="file:///etc/passwd")),
        f"{THEIR_PART}.url",
    ),
    Row(
        f"{PART}.filename",
        part(type="input_file", file_id="f", filename="x" * 1025),
        with_part(file=item_pb.File(file_id="f", name="x" * 1025)),
        f"{THEIR_PART}.name",
    ),
    Row(
        f"{PART}.input_audio.format",
        part(type="input_audio", input_audio={"data": "aaaa", "format": "W V"}),
        with_part(audio=item_pb.Audio(media_type="audio/W V", content=b"a")),
        f"{THEIR_PART}.media_type",
    ),
    Row(
        f"{PART}.input_audio.data",
        part(type="input_audio", input_audio={"data": "", "format": "wav"}),
        with_part(audio=item_pb.Audio(media_type="audio/wav")),
        f"{THEIR_PART}.content",
    ),
    *(
        Row(
            "Idempotency-Key",
            {},
            respond(idempotency_key=key),
            "idempotency_key",
            headers={"idempotency-key": key},
        )
        for key in ("k 1", "x" * 256)
    ),
    Row(
        "input",
        {"model": "demo", "input": [HELLO] * 2049},
        pb.CompactRequest(model="demo", input=[SAID] * 2049),
        path="/v1/responses/compact",
    ),
    Row(
        "input",
        {"model": "demo", "input": [HELLO] * 2049},
        pb.CountInputRequest(request=pb.RespondRequest(model="demo", input=[SAID] * 2049)),
        path="/v1/responses/input_tokens",
    ),
    *(
        Row(
            "input",
            {"input": words},
            pb.SteerRequest(response_id="resp_1", input=[SAID] * len(words)),
            path="/v1/responses/resp_1/steer",
        )
        for words in ([], [HELLO] * 65)
    ),
    Row(
        "items",
        {"items": [HELLO] * 21},
        pb.CreateConversationRequest(items=[SAID] * 21),
        path=CONVERSATIONS,
    ),
    *(
        Row(
            "metadata",
            {"metadata": wrong},
            pb.CreateConversationRequest(metadata=wrong),
            path=CONVERSATIONS,
        )
        for wrong in ({"k" * 65: ""}, {"k": "v" * 513}, {str(n): "" for n in range(17)})
    ),
    Row(
        "metadata",
        {"metadata": {"k": "v" * 513}},
        pb.UpdateConversationRequest(conversation_id="conv_1", metadata={"k": "v" * 513}),
        path=f"{CONVERSATIONS}/conv_1",
    ),
    *(
        Row(
            "items",
            {"items": [HELLO] * count},
            pb.AddItemsRequest(conversation_id="conv_1", items=[SAID] * count),
            path=f"{CONVERSATIONS}/conv_1/items",
        )
        for count in (0, 21)
    ),
    *(
        Row(
            name,
            {name: value},
            pb.ListInputItemsRequest(response_id="resp_1", **{name: value}),
            path="GET /v1/responses/resp_1/input_items",
        )
        for name, value in WRONG_PAGES
    ),
    *(
        Row(
            name,
            {name: value},
            pb.ListItemsRequest(conversation_id="conv_1", paging=paging(name, value)),
            f"paging.{name}",
            path=f"GET {CONVERSATIONS}/conv_1/items",
        )
        for name, value in WRONG_PAGES
    ),
    *(
        Row(
            name,
            {name: value},
            pb.ListConversationsRequest(paging=paging(name, value)),
            f"paging.{name}",
            path=f"GET {CONVERSATIONS}",
        )
        for name, value in WRONG_PAGES
    ),
    Row(
        "starting_after",
        {"stream": "true", "starting_after": BIG},
        pb.FollowRequest(response_id="resp_1", after=BIG),
        "after",
        path="GET /v1/responses/resp_1",
    ),
]


@pytest.fixture(scope="module")
async def here() -> AsyncIterator[tuple[Site, grpc.aio.Channel]]:
    """No row gets so far that it would leave anything behind."""
    async with _site() as site, served(site.mesh) as channel:
        yield site, channel


async def over_http(site: Site, row: Row) -> tuple[str, str]:
    method, _, path = row.path.rpartition(" ")
    if method:
        got = await site.http.get(path, params=dict(row.body), timeout=30)
    else:
        body = {**BODIES.get(path, {}), **row.body}
        got = await site.http.post(path, json=body, headers=dict(row.headers), timeout=30)
    assert got.status_code == 400, got.text
    assert "CANARY" not in got.text
    error = got.json()["error"]
    return error["param"], error["code"]


async def over_socket(site: Site, row: Row) -> tuple[str, str]:
    async with site.socket() as socket:
        message = {"type": "response.create", **BODIES[RESPONSES], **row.body}
        await socket.send(json.dumps(message))
        told = json.loads(await socket.recv())
    return told["error"]["param"], told["error"]["code"]


async def over_grpc(site: Site, channel: grpc.aio.Channel, row: Row) -> tuple[str, str]:
    method = row.message.DESCRIPTOR.name.removesuffix("Request")
    call: Any = channel.unary_stream(f"/chatmesh.gateway.v1.GatewayService/{method}")
    sent = row.message.SerializeToString()
    metadata = (("authorization", f"Bearer {site.mesh.key}"),)
    with pytest.raises(MeshError) as caught, mesh_errors("gateway"):
        async for _ in call(sent, metadata=metadata, timeout=30):
            pass
    error = caught.value
    assert error.status == "INVALID_ARGUMENT"
    assert "CANARY" not in error.message
    return error.details["param"], error.details["code"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.theirs or row.param)
async def test_a_wrong_value_is_refused_by_its_field(
    here: tuple[Site, grpc.aio.Channel], row: Row
) -> None:
    site, channel = here
    assert await over_http(site, row) == (row.param, "invalid_value")
    if row.on_socket:
        assert await over_socket(site, row) == (row.param, "invalid_value")
    assert await over_grpc(site, channel, row) == (row.theirs or row.param, "invalid_value")


@pytest.mark.parametrize("name", ["temperature", "top_p", "presence_penalty"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_what_is_no_number_is_refused(
    here: tuple[Site, grpc.aio.Channel], name: str, value: float
) -> None:
    """JSON cannot say it."""
    site, channel = here
    row = Row(name, {}, respond(**{name: value}))
    assert await over_grpc(site, channel, row) == (name, "invalid_value")

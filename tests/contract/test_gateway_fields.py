"""A refusal of the public gRPC endpoint names the field as its own contract calls it."""

from typing import Any

import grpc
import pytest
from chatmesh.conversation.v1 import conversation_pb2 as item_pb
from chatmesh.gateway.v1 import gateway_pb2 as pb
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from services.gateway.api import Failed
from services.gateway.client import GatewayClient
from services.gateway.codec import ask_in
from tests.contract.test_gateway import served
from tests.fakes.mesh import surroundings

ABSENT = "conv_" + "0" * 32
HELLO = item_pb.Item(
    message=item_pb.Message(role=item_pb.ROLE_USER, parts=[item_pb.Part(text="hello")])
)
TEXT = item_pb.Part(text="x")
SEAL = item_pb.Item(compaction=item_pb.Compaction(opaque="CANARY"))


def item(**message: Any) -> item_pb.Item:
    return item_pb.Item(message=item_pb.Message(**message))


def call(**fields: Any) -> item_pb.Item:
    return item_pb.Item(call=item_pb.Call(**fields))


def respond(*items: item_pb.Item, **fields: Any) -> pb.RespondRequest:
    return pb.RespondRequest(model="demo", input=[HELLO, *items], **fields)


NAMED = pb.FunctionChoice(mode=pb.FunctionChoice.MODE_NAMED, name="CANARY")
REFUSED: list[tuple[str, Message, str]] = [
    ("Respond", respond(conversation_id=ABSENT), "conversation_id"),
    ("Respond", respond(function_choice=NAMED), "function_choice"),
    ("Respond", respond(previous_response_id="CANARY"), "previous_response_id"),
    ("Respond", respond(item(role=99)), "input[1].role"),
    ("Respond", respond(item(role=3, phase=99, parts=[TEXT])), "input[1].phase"),
    ("Respond", respond(item(role=item_pb.ROLE_TOOL)), "input[1].role"),
    ("Respond", respond(item(role=3, parts=[item_pb.Part()])), "input[1].parts"),
    ("Respond", respond(item_pb.Item()), "input[1]"),
    ("Respond", respond(call(run_by=99)), "input[1].run_by"),
    ("CountInput", pb.CountInputRequest(request=respond(item(role=99))), "input[1].role"),
    ("Compact", pb.CompactRequest(model="demo", input=[HELLO, item(role=99)]), "input[1].role"),
    ("Steer", pb.SteerRequest(response_id="resp_1", input=[item(role=99)]), "input[0].role"),
    ("CreateConversation", pb.CreateConversationRequest(items=[HELLO] * 21), "items"),
    (
        "CreateConversation",
        pb.CreateConversationRequest(items=[HELLO, SEAL]),
        "items[1].encrypted_content",
    ),
    ("AddItems", pb.AddItemsRequest(conversation_id=ABSENT), "items"),
    (
        "AddItems",
        pb.AddItemsRequest(conversation_id=ABSENT, items=[HELLO, item(role=99)]),
        "items[1].role",
    ),
    ("AddItems", pb.AddItemsRequest(conversation_id=ABSENT, items=[HELLO]), "conversation_id"),
    ("GetConversation", pb.GetConversationRequest(), "conversation_id"),
    ("DeleteConversation", pb.DeleteConversationRequest(), "conversation_id"),
    ("GetItem", pb.GetItemRequest(conversation_id=ABSENT), "conversation_id"),
]


def told(error: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """The field in which the refusal is, and as gRPC's own tools read it."""
    metadata = {str(key): value for key, value in error.trailing_metadata() or ()}
    status, param, violated = Status(), "", []
    status.ParseFromString(bytes(metadata["grpc-status-details-bin"]))  # type: ignore[arg-type]
    for detail in status.details:
        known, wrong = ErrorInfo(), BadRequest()
        if detail.Unpack(known):
            param = known.metadata["param"]
        if detail.Unpack(wrong):
            violated = [violation.field for violation in wrong.field_violations]
    return param, violated


@pytest.mark.parametrize(("method", "request_message", "param"), REFUSED)
async def test_a_refusal_names_the_field(method: str, request_message: Message, param: str) -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        called: Any = channel.stream_stream(f"/chatmesh.gateway.v1.GatewayService/{method}")
        metadata = (("authorization", f"Bearer {mesh.key}"),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            sent = iter([request_message.SerializeToString()])
            async for _ in called(sent, metadata=metadata, timeout=5):
                pass
    field, violated = told(caught.value)
    assert field == param
    assert violated in ([], [param])
    assert "CANARY" not in str(caught.value.details())


async def test_the_event_names_it_as_the_status_does() -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        request = respond(conversation_id=ABSENT)
        (last,) = [numbered.event async for numbered in client.respond(ask_in(request))]
    assert isinstance(last, Failed)
    assert last.details == {"param": "conversation_id"}

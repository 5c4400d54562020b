"""Shared words on the wire, and callers of a release whose words are no longer read."""

from typing import Any

import pytest
from chatmesh.gateway.v1 import gateway_pb2 as gateway_pb
from chatmesh.shared.v1 import shared_pb2 as pb
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.shared.codec import (
    plain,
    refuse_older,
    scope_in,
    scope_out,
    tool_call_in,
    tool_call_out,
    tool_choice_in,
    tool_choice_out,
    tool_in,
    tool_out,
)
from services.shared.errors import Malformed, OlderRelease
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall, ToolChoice, ToolMode

ANN = Scope("acme", "main", "ann")


def message_of(**fields: int) -> type[Message]:
    """A message with these text fields, by their numbers: such as another release declares."""
    declared = FileDescriptorProto(name="other.proto", package="other", syntax="proto3")
    message = declared.message_type.add(name="Other")
    for name, number in fields.items():
        message.field.add(
            name=name,
            number=number,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = DescriptorPool()
    pool.Add(declared)
    return GetMessageClass(pool.FindMessageTypeByName("other.Other"))


def sent(**fields: int) -> pb.Scope:
    """A scope as another release writes it, read with this one's declaration."""
    values: dict[str, Any] = dict.fromkeys(fields, "something")
    return pb.Scope.FromString(message_of(**fields)(**values).SerializeToString())


@pytest.mark.parametrize("fields", [{"tenant": 1}, {"tenant": 1, "user": 2}, {"user": 2}])
def test_a_caller_of_release_0_1_0_is_told_to_upgrade(fields: dict[str, int]) -> None:
    for refused in (refuse_older, scope_in):
        with pytest.raises(OlderRelease, match=r"0\.1\.0.*upgrade it to 0\.2\.0.*CHANGELOG"):
            refused(sent(**fields))


def test_the_fields_of_release_0_1_0_are_those_that_the_proto_has_given_up() -> None:
    declared = DescriptorProto()
    pb.Scope.DESCRIPTOR.CopyToProto(declared)
    assert set(declared.reserved_name) == {"tenant", "user"}


def test_what_this_release_says_is_read() -> None:
    told = pb.Scope.FromString(scope_out(ANN).SerializeToString())
    refuse_older(told)
    refuse_older(pb.Scope())
    assert scope_in(told) == ANN


def test_what_a_newer_release_adds_is_not_taken_for_older() -> None:
    refuse_older(sent(organisation=3, project=4, region=9))
    assert scope_in(sent(organisation=3, project=4, region=9)).organisation == "something"


def test_a_message_that_has_given_up_nothing_refuses_nobody() -> None:
    call = pb.ToolCall.FromString(message_of(later=7)(later="x").SerializeToString())
    refuse_older(call)


@pytest.mark.parametrize("field", ["organisation", "project"])
def test_a_scope_names_its_organisation_and_its_project(field: str) -> None:
    scope = scope_out(ANN)
    scope.ClearField(field)  # type: ignore[arg-type]
    with pytest.raises(Malformed) as raised:
        scope_in(scope)
    assert raised.value.details == {"param": f"scope.{field}"}


def test_a_scope_may_name_no_person() -> None:
    assert scope_in(pb.Scope(organisation="acme", project="main")) == Scope("acme", "main")


@pytest.mark.parametrize("choice", [ToolChoice(mode, "clock") for mode in ToolMode])
def test_a_choice_of_tools_comes_back_as_it_was(choice: ToolChoice) -> None:
    assert tool_choice_in(tool_choice_out(choice)) == choice


def test_who_says_nothing_lets_the_model_choose() -> None:
    assert tool_choice_in(pb.ToolChoice()) == ToolChoice(ToolMode.AUTO)


def test_a_way_to_choose_that_is_not_known_here_is_malformed() -> None:
    unknown: Any = 99
    with pytest.raises(Malformed, match=r"choice\.mode: 99 is not known here"):
        tool_choice_in(pb.ToolChoice(mode=unknown))


@pytest.mark.parametrize("strict", [True, False])
def test_tools_and_calls_come_back_as_they_were(strict: bool) -> None:
    tool = Tool("clock", "Tells the time.", '{"type": "object"}', strict, writes_memory=strict)
    assert tool_in(tool_out(tool)) == tool
    call = ToolCall("call_1", "clock", "{")
    assert tool_call_in(tool_call_out(call)) == call


def test_a_message_as_plain_values() -> None:
    request = gateway_pb.RespondRequest(model="demo", temperature=0, stop=["a"])
    request.input.add(id="i1").message.parts.add(text="hi")
    read = plain(request)
    assert (read["model"], read["temperature"], read["stop"]) == ("demo", 0, ["a"])
    assert {"top_p", "own_tools", "regex"}.isdisjoint(read)
    part = {"kind": "text", "text": "hi"}
    assert read["input"] == [
        {"id": "i1", "kind": "message", "role": 0, "parts": [part], "phase": 0}
    ]
    metadata = gateway_pb.CreateConversationRequest(metadata={"a": "b"})
    assert plain(metadata) == {"items": [], "metadata": {"a": "b"}}

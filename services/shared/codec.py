"""How the shared words look on the wire; pure functions, both directions."""

from functools import lru_cache
from typing import Any, TypeVar

from chatmesh.shared.v1 import shared_pb2 as pb
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.shared.errors import Malformed, OlderRelease
from services.shared.scope import Scope
from services.shared.tools import TextInput, TextSyntax, Tool, ToolCall, ToolChoice, ToolMode

Theirs = TypeVar("Theirs", bound=int)
Ours = TypeVar("Ours")

_MODES = {
    pb.TOOL_MODE_UNSPECIFIED: ToolMode.AUTO,
    pb.TOOL_MODE_AUTO: ToolMode.AUTO,
    pb.TOOL_MODE_NONE: ToolMode.NONE,
    pb.TOOL_MODE_REQUIRED: ToolMode.REQUIRED,
    pb.TOOL_MODE_NAMED: ToolMode.NAMED,
}
_MODES_OUT = {ours: theirs for theirs, ours in _MODES.items()}


def known(values: dict[Theirs, Ours], value: Theirs, field: str) -> Ours:
    """Our word for an open enum's value; a newer caller's unknown one is `Malformed`."""
    try:
        return values[value]
    except KeyError:
        raise Malformed(f"{field}: {value} is not known here", param=field) from None


def refuse_older(message: Message) -> None:
    """Raises `OlderRelease` where the message has a field that a release has given up.

    Such fields are `reserved` in the proto. Without this they would be left unread, and the caller
    would be answered as if it had not said what they hold.
    """
    given_up = _given_up(message.DESCRIPTOR)
    unknown = UnknownFieldSet(message)
    if any(unknown[number].field_number in given_up for number in range(len(unknown))):
        raise OlderRelease(
            "this caller was made for chatmesh 0.1.0, whose messages this release no longer reads:"
            " upgrade it to 0.2.0 (CHANGELOG.md says how)"
        )


def plain(message: Message) -> dict[str, Any]:
    """The message's fields by their names; those that it does not say are left out.

    Of what may be of several kinds, `kind` says which, beside that kind's own fields.
    """
    kind = message.WhichOneof("kind") if "kind" in message.DESCRIPTOR.oneofs_by_name else None
    fields: dict[str, Any] = {"kind": kind} if kind else {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name == kind and isinstance(value, Message):
            fields |= plain(value)
        elif field.message_type and field.message_type.GetOptions().map_entry:
            fields[field.name] = dict(value)
        elif field.is_repeated:
            fields[field.name] = [plain(each) if field.message_type else each for each in value]
        elif not field.has_presence or message.HasField(field.name):
            fields[field.name] = plain(value) if field.message_type else value
    return fields


@lru_cache(maxsize=64)
def _given_up(descriptor: Descriptor) -> frozenset[int]:
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    return frozenset(
        number for each in proto.reserved_range for number in range(each.start, each.end)
    )


def scope_in(scope: pb.Scope) -> Scope:
    refuse_older(scope)
    for field in ("organisation", "project"):
        if not getattr(scope, field):
            raise Malformed(f"scope.{field} is empty", param=f"scope.{field}")
    return Scope(scope.organisation, scope.project, scope.person)


def scope_out(scope: Scope) -> pb.Scope:
    return pb.Scope(organisation=scope.organisation, project=scope.project, person=scope.person)


def tool_call_in(call: pb.ToolCall) -> ToolCall:
    return ToolCall(call.id, call.name, call.arguments)


def tool_call_out(call: ToolCall) -> pb.ToolCall:
    return pb.ToolCall(id=call.id, name=call.name, arguments=call.arguments)


def tool_in(tool: pb.Tool) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
        writes_memory=tool.writes_memory,
        text_input=_text_input_in(tool.text_input) if tool.HasField("text_input") else None,
    )


def tool_out(tool: Tool) -> pb.Tool:
    return pb.Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
        writes_memory=tool.writes_memory,
        text_input=None if tool.text_input is None else _text_input_out(tool.text_input),
    )


def _text_input_in(text: pb.TextInput) -> TextInput:
    syntax = text.WhichOneof("grammar")
    return TextInput(TextSyntax(syntax), getattr(text, syntax)) if syntax else TextInput()


def _text_input_out(text: TextInput) -> pb.TextInput:
    if text.syntax is TextSyntax.ANY:
        return pb.TextInput()
    return pb.TextInput(**{text.syntax.value: text.grammar})


def tool_choice_in(choice: pb.ToolChoice) -> ToolChoice:
    return ToolChoice(known(_MODES, choice.mode, "choice.mode"), choice.name)


def tool_choice_out(choice: ToolChoice) -> pb.ToolChoice:
    return pb.ToolChoice(mode=_MODES_OUT[choice.mode], name=choice.name)

"""How the shared words look on the wire; pure functions, both directions."""

from typing import TypeVar

from chatmesh.shared.v1 import shared_pb2 as pb

from services.shared.chat import Message, Role, Scope, Tool, ToolCall, ToolChoice, ToolMode
from services.shared.errors import Malformed

Theirs = TypeVar("Theirs", bound=int)
Ours = TypeVar("Ours")

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_DEVELOPER: Role.DEVELOPER,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
}
_ROLES_OUT = {ours: theirs for theirs, ours in _ROLES.items()}

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


def scope_in(scope: pb.Scope) -> Scope:
    if not scope.tenant:
        raise Malformed("scope.tenant is empty", param="scope.tenant")
    return Scope(scope.tenant, scope.user)


def scope_out(scope: Scope) -> pb.Scope:
    return pb.Scope(tenant=scope.tenant, user=scope.user)


def role_in(role: "pb.Role.ValueType") -> Role:
    return known(_ROLES, role, "role")


def role_out(role: Role) -> "pb.Role.ValueType":
    return _ROLES_OUT[role]


def message_in(message: pb.Message) -> Message:
    return Message(
        role=role_in(message.role),
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=tuple(map(tool_call_in, message.tool_calls)),
        tool_call_id=message.tool_call_id,
    )


def message_out(message: Message) -> pb.Message:
    return pb.Message(
        role=role_out(message.role),
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=map(tool_call_out, message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def tool_call_in(call: pb.ToolCall) -> ToolCall:
    return ToolCall(call.id, call.name, call.arguments)


def tool_call_out(call: ToolCall) -> pb.ToolCall:
    return pb.ToolCall(id=call.id, name=call.name, arguments=call.arguments)


def tool_in(tool: pb.Tool) -> Tool:
    return Tool(tool.name, tool.description, tool.parameters, tool.strict)


def tool_out(tool: Tool) -> pb.Tool:
    return pb.Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
    )


def tool_choice_in(choice: pb.ToolChoice) -> ToolChoice:
    return ToolChoice(known(_MODES, choice.mode, "choice.mode"), choice.name)


def tool_choice_out(choice: ToolChoice) -> pb.ToolChoice:
    return pb.ToolChoice(mode=_MODES_OUT[choice.mode], name=choice.name)

"""How a conversation looks on the wire; pure functions, both directions."""

from collections.abc import Iterable
from typing import Any

from chatmesh.conversation.v1 import conversation_pb2 as pb

from services.shared.codec import known
from services.shared.conversation import (
    Approval,
    Audio,
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Parts,
    Phase,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)
from services.shared.errors import Malformed

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_DEVELOPER: Role.DEVELOPER,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
}
_ROLES_OUT = {ours: theirs for theirs, ours in _ROLES.items()}
_PHASES = {
    pb.PHASE_UNSPECIFIED: Phase.UNSAID,
    pb.PHASE_COMMENTARY: Phase.COMMENTARY,
    pb.PHASE_FINAL_ANSWER: Phase.FINAL_ANSWER,
}
_PHASES_OUT = {ours: theirs for theirs, ours in _PHASES.items()}
_RUN_BY = {
    pb.RUN_BY_UNSPECIFIED: RunBy.CALLER,
    pb.RUN_BY_CALLER: RunBy.CALLER,
    pb.RUN_BY_MESH: RunBy.MESH,
    pb.RUN_BY_SERVER: RunBy.SERVER,
}
_RUN_BY_OUT = {ours: theirs for theirs, ours in _RUN_BY.items()}
_APPROVALS = {
    pb.APPROVAL_UNSPECIFIED: Approval.NOT_NEEDED,
    pb.APPROVAL_NOT_NEEDED: Approval.NOT_NEEDED,
    pb.APPROVAL_AWAITED: Approval.AWAITED,
    pb.APPROVAL_GRANTED: Approval.GRANTED,
    pb.APPROVAL_DENIED: Approval.DENIED,
}
_APPROVALS_OUT = {ours: theirs for theirs, ours in _APPROVALS.items()}


def role_in(role: "pb.Role.ValueType") -> Role:
    return known(_ROLES, role, "role")


def role_out(role: Role) -> "pb.Role.ValueType":
    return _ROLES_OUT[role]


def items_in(items: Iterable[pb.Item]) -> tuple[Item, ...]:
    return tuple(map(item_in, items))


def item_in(item: pb.Item) -> Item:
    match item.WhichOneof("kind"):
        case "message":
            return _message_in(item.id, item.message)
        case "call":
            return call_in(item.id, item.call)
        case "call_result":
            result = item.call_result
            return CallResult(item.id, result.call_id, parts_in(result.parts), result.text_input)
        case "reasoning":
            thought = item.reasoning
            return Reasoning(item.id, thought.text, tuple(thought.summary), thought.opaque)
        case "compaction":
            return Compaction(item.id, item.compaction.text, item.compaction.opaque)
    raise Malformed("an item is of no kind that is known here", param="input")


def item_out(item: Item) -> pb.Item:
    match item:
        case Message():
            message = pb.Message(
                role=role_out(item.role),
                parts=map(part_out, item.parts),
                phase=_PHASES_OUT[item.phase],
            )
            return pb.Item(id=item.id, message=message)
        case Call():
            return pb.Item(id=item.id, call=call_out(item))
        case CallResult():
            result = pb.CallResult(
                call_id=item.call_id,
                parts=map(part_out, item.parts),
                text_input=item.text_input,
            )
            return pb.Item(id=item.id, call_result=result)
        case Reasoning():
            thought = pb.Reasoning(text=item.text, summary=item.summary, opaque=item.opaque)
            return pb.Item(id=item.id, reasoning=thought)
        case Compaction():
            compaction = pb.Compaction(text=item.text, opaque=item.opaque)
            return pb.Item(id=item.id, compaction=compaction)


def _message_in(item_id: str, message: pb.Message) -> Message:
    role = role_in(message.role)
    if role is Role.TOOL:
        raise Malformed("a tool speaks in a call's result, not in a message", param="role")
    phase = known(_PHASES, message.phase, "phase")
    return Message(item_id, role, parts_in(message.parts), phase)


def call_in(item_id: str, call: pb.Call) -> Call:
    outcome = None
    if call.HasField("outcome"):
        outcome = CallOutcome(parts_in(call.outcome.parts), call.outcome.failed)
    return Call(
        id=item_id,
        call_id=call.call_id,
        name=call.name,
        arguments=call.arguments,
        run_by=known(_RUN_BY, call.run_by, "run_by"),
        server_label=call.server_label,
        approval=known(_APPROVALS, call.approval, "approval"),
        outcome=outcome,
        parallel=call.parallel,
        text_input=call.text_input,
    )


def call_out(call: Call) -> pb.Call:
    outcome = None
    if call.outcome:
        parts = map(part_out, call.outcome.parts)
        outcome = pb.CallOutcome(parts=parts, failed=call.outcome.failed)
    return pb.Call(
        call_id=call.call_id,
        name=call.name,
        arguments=call.arguments,
        run_by=_RUN_BY_OUT[call.run_by],
        server_label=call.server_label,
        approval=_APPROVALS_OUT[call.approval],
        outcome=outcome,
        parallel=call.parallel,
        text_input=call.text_input,
    )


def parts_in(parts: Iterable[pb.Part]) -> Parts:
    return tuple(map(_part_in, parts))


def _part_in(part: pb.Part) -> Part:
    match part.WhichOneof("kind"):
        case "text":
            return Text(part.text)
        case "refusal":
            return Refusal(part.refusal)
        case "picture":
            return picture_in(part.picture)
        case "file":
            file = part.file
            return File(file.name, file.media_type, file.content, file.url, file.file_id)
        case "audio":
            return Audio(part.audio.media_type, part.audio.content)
    raise Malformed("a part is of no kind that is known here", param="parts")


def part_out(part: Part) -> pb.Part:
    match part:
        case Text():
            return pb.Part(text=part.text)
        case Refusal():
            return pb.Part(refusal=part.text)
        case Picture():
            return pb.Part(picture=picture_out(part))
        case File():
            file = pb.File(name=part.name, media_type=part.media_type, **_source(part))
            return pb.Part(file=file)
        case Audio():
            return pb.Part(audio=pb.Audio(media_type=part.media_type, content=part.content))


def picture_in(picture: pb.Picture) -> Picture:
    return Picture(
        media_type=picture.media_type,
        content=picture.content,
        url=picture.url,
        file_id=picture.file_id,
        detail=picture.detail,
    )


def picture_out(picture: Picture) -> pb.Picture:
    return pb.Picture(media_type=picture.media_type, detail=picture.detail, **_source(picture))


def _source(part: Picture | File) -> dict[str, Any]:
    """The one of the three that is set."""
    for name in ("content", "url", "file_id"):
        if value := getattr(part, name):
            return {name: value}
    return {}

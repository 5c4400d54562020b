"""How our types look on the wire; pure functions, both directions."""

from collections.abc import Sequence

from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb

from services.context_assembly.api import (
    Assembly,
    Call,
    CallResult,
    Context,
    Item,
    Model,
    Reasoning,
    Text,
    Turn,
)
from services.shared.chat import Scope
from services.shared.codec import (
    message_in,
    message_out,
    role_in,
    role_out,
    scope_in,
    scope_out,
    tool_in,
    tool_out,
)
from services.shared.errors import Malformed


def assembly_in(request: pb.AssembleRequest) -> Assembly:
    return Assembly(
        scope=scope_in(request.scope),
        model=Model(request.model.id, request.model.context_tokens, request.model.summarises),
        input=items_in(request.input),
        output_tokens=request.output_tokens,
        parent_id=request.parent_id,
        instructions=request.instructions,
        custom_instructions=request.custom_instructions,
        tools=[tool_in(tool) for tool in request.tools],
        produced=items_in(request.produced),
        truncate_input=request.truncate_input,
        memory_ids=[*request.memories.ids] if request.HasField("memories") else None,
        template_options=dict(request.template_options),
    )


def assembly_out(assembly: Assembly) -> pb.AssembleRequest:
    model = assembly.model
    return pb.AssembleRequest(
        scope=scope_out(assembly.scope),
        model=pb.Model(
            id=model.id, context_tokens=model.context_tokens, summarises=model.summarises
        ),
        parent_id=assembly.parent_id,
        instructions=assembly.instructions,
        custom_instructions=assembly.custom_instructions,
        tools=map(tool_out, assembly.tools),
        input=map(item_out, assembly.input),
        produced=map(item_out, assembly.produced),
        output_tokens=assembly.output_tokens,
        truncate_input=assembly.truncate_input,
        memories=None if assembly.memory_ids is None else pb.Memories(ids=assembly.memory_ids),
        template_options=assembly.template_options,
    )


def context_in(response: pb.AssembleResponse) -> Context:
    return Context(
        messages=[message_in(message) for message in response.messages],
        prompt_ids=response.prompt_ids,
        memory_ids=[*response.memories.ids],
    )


def context_out(context: Context) -> pb.AssembleResponse:
    return pb.AssembleResponse(
        messages=map(message_out, context.messages),
        prompt_ids=context.prompt_ids,
        memories=pb.Memories(ids=context.memory_ids),
    )


def turn_in(turn: pb.Turn) -> Turn:
    return Turn(
        id=turn.id,
        scope=scope_in(turn.scope),
        parent_id=turn.parent_id,
        created_at_ms=turn.created_at_ms,
        input=items_in(turn.input),
        output=items_in(turn.output),
        memory_ids=[*turn.memories.ids],
        document=turn.document,
    )


def turn_out(turn: Turn) -> pb.Turn:
    return pb.Turn(
        id=turn.id,
        scope=scope_out(turn.scope),
        parent_id=turn.parent_id,
        created_at_ms=turn.created_at_ms,
        input=map(item_out, turn.input),
        output=map(item_out, turn.output),
        memories=pb.Memories(ids=turn.memory_ids),
        document=turn.document,
    )


def get_request_in(request: pb.GetTurnRequest) -> tuple[Scope, str]:
    return scope_in(request.scope), request.id


def delete_request_in(request: pb.DeleteTurnRequest) -> tuple[Scope, str]:
    return scope_in(request.scope), request.id


def items_in(items: Sequence[pb.Item]) -> list[Item]:
    return [item_in(item) for item in items]


def item_in(item: pb.Item) -> Item:
    match item.WhichOneof("kind"):
        case "text":
            return Text(item.id, role_in(item.text.role), item.text.text)
        case "tool_call":
            return _call_in(item.id, item.tool_call)
        case "tool_result":
            return CallResult(item.id, item.tool_result.call_id, item.tool_result.output)
        case "reasoning":
            return Reasoning(item.id, item.reasoning.text)
        case _:
            raise Malformed("an item is of no kind that is known here", param="input")


def item_out(item: Item) -> pb.Item:
    match item:
        case Text():
            return pb.Item(id=item.id, text=pb.TextItem(role=role_out(item.role), text=item.text))
        case Call():
            return pb.Item(id=item.id, tool_call=_call_out(item))
        case CallResult():
            result = pb.ToolResultItem(call_id=item.call_id, output=item.output)
            return pb.Item(id=item.id, tool_result=result)
        case Reasoning():
            return pb.Item(id=item.id, reasoning=pb.ReasoningItem(text=item.text))


def _call_in(item_id: str, call: pb.ToolCallItem) -> Call:
    return Call(
        id=item_id,
        call_id=call.call_id,
        name=call.name,
        arguments=call.arguments,
        own=call.own,
        output=call.output,
        failed=call.failed,
        parallel=call.parallel,
    )


def _call_out(call: Call) -> pb.ToolCallItem:
    return pb.ToolCallItem(
        call_id=call.call_id,
        name=call.name,
        arguments=call.arguments,
        own=call.own,
        output=call.output,
        failed=call.failed,
        parallel=call.parallel,
    )

"""How our types look on the wire; pure functions, both directions."""

from dataclasses import asdict

from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb

from services.context_assembly.api import (
    Assembly,
    Compacted,
    Context,
    KeptIds,
    Model,
    Paging,
    StoredConversation,
    Turn,
)
from services.inference.api import Usage
from services.shared.codec import refuse_older, scope_in, scope_out, tool_in, tool_out
from services.shared.conversation_codec import item_out, items_in, picture_in, picture_out
from services.shared.scope import Scope


def assembly_in(request: pb.AssembleRequest) -> Assembly:
    refuse_older(request)
    return Assembly(
        scope=scope_in(request.scope),
        model=_model_in(request.model),
        input=[*items_in(request.input)],
        output_tokens=request.output_tokens,
        parent_id=request.parent_id,
        instructions=request.instructions,
        custom_instructions=request.custom_instructions,
        tools=[tool_in(tool) for tool in request.tools],
        produced=[*items_in(request.produced)],
        truncate_input=request.truncate_input,
        memory_ids=[*request.memories.ids] if request.HasField("memories") else None,
        reads_memory=request.reads_memory,
        template_options=dict(request.template_options),
    )


def assembly_out(assembly: Assembly) -> pb.AssembleRequest:
    return pb.AssembleRequest(
        scope=scope_out(assembly.scope),
        model=_model_out(assembly.model),
        parent_id=assembly.parent_id,
        instructions=assembly.instructions,
        custom_instructions=assembly.custom_instructions,
        tools=map(tool_out, assembly.tools),
        input=map(item_out, assembly.input),
        produced=map(item_out, assembly.produced),
        output_tokens=assembly.output_tokens,
        truncate_input=assembly.truncate_input,
        memories=None if assembly.memory_ids is None else pb.Memories(ids=assembly.memory_ids),
        reads_memory=assembly.reads_memory,
        template_options=assembly.template_options,
    )


def context_in(response: pb.AssembleResponse) -> Context:
    return Context(
        prompt_ids=response.prompt_ids,
        memory_ids=[*response.memories.ids],
        fact_ids=[*response.fact_ids],
        erasures_known=response.erasures_known,
        inherited_ids=response.inherited_ids,
        pictures=[picture_in(picture) for picture in response.pictures],
        left_out=response.left_out,
        erasures_above=response.erasures_above,
    )


def context_out(context: Context) -> pb.AssembleResponse:
    return pb.AssembleResponse(
        prompt_ids=context.prompt_ids,
        memories=pb.Memories(ids=context.memory_ids),
        fact_ids=context.fact_ids,
        erasures_known=context.erasures_known,
        inherited_ids=context.inherited_ids,
        pictures=map(picture_out, context.pictures),
        left_out=context.left_out,
        erasures_above=context.erasures_above,
    )


def compaction_in(request: pb.CompactRequest) -> Assembly:
    return Assembly(
        scope=scope_in(request.scope),
        model=_model_in(request.model),
        input=[*items_in(request.input)],
        output_tokens=0,
        parent_id=request.parent_id,
        instructions=request.instructions,
    )


def compaction_out(assembly: Assembly) -> pb.CompactRequest:
    return pb.CompactRequest(
        scope=scope_out(assembly.scope),
        model=_model_out(assembly.model),
        parent_id=assembly.parent_id,
        instructions=assembly.instructions,
        input=map(item_out, assembly.input),
    )


def compacted_in(response: pb.CompactResponse) -> Compacted:
    usage = response.usage
    return Compacted(
        summary=response.summary,
        kept=[*items_in(response.kept)],
        usage=Usage(
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
        ),
        erasures_above=response.erasures_above,
    )


def compacted_out(compacted: Compacted) -> pb.CompactResponse:
    return pb.CompactResponse(
        summary=compacted.summary,
        kept=map(item_out, compacted.kept),
        usage=pb.Usage(**asdict(compacted.usage)),
        erasures_above=compacted.erasures_above,
    )


def turn_in(turn: pb.Turn) -> Turn:
    refuse_older(turn)
    return Turn(
        id=turn.id,
        scope=scope_in(turn.scope),
        parent_id=turn.parent_id,
        created_at_ms=turn.created_at_ms,
        input=[*items_in(turn.input)],
        output=[*items_in(turn.output)],
        memory_ids=[*turn.memories.ids],
        document=turn.document,
        kept_ids=_kept_ids_in(turn.kept_ids) if turn.HasField("kept_ids") else None,
        conversation_id=turn.conversation_id,
        erasures_above=turn.erasures_above,
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
        kept_ids=_kept_ids_out(turn.kept_ids) if turn.kept_ids else None,
        conversation_id=turn.conversation_id,
        erasures_above=turn.erasures_above,
    )


def conversation_in(conversation: pb.Conversation) -> StoredConversation:
    return StoredConversation(
        id=conversation.id,
        scope=scope_in(conversation.scope),
        created_at_ms=conversation.created_at_ms,
        metadata=dict(conversation.metadata),
        head=conversation.head,
    )


def conversation_out(conversation: StoredConversation) -> pb.Conversation:
    return pb.Conversation(
        id=conversation.id,
        scope=scope_out(conversation.scope),
        created_at_ms=conversation.created_at_ms,
        metadata=conversation.metadata,
        head=conversation.head,
    )


def paging_in(paging: pb.Paging) -> Paging:
    return Paging(paging.after, paging.limit, newest_first=not paging.oldest_first)


def paging_out(paging: Paging) -> pb.Paging:
    return pb.Paging(after=paging.after, limit=paging.limit, oldest_first=not paging.newest_first)


def get_request_in(request: pb.GetTurnRequest) -> tuple[Scope, str]:
    return scope_in(request.scope), request.id


def delete_request_in(request: pb.DeleteTurnRequest) -> tuple[Scope, str]:
    return scope_in(request.scope), request.id


def _model_in(model: pb.Model) -> Model:
    return Model(model.id, model.context_tokens, model.summarises, model.sees)


def _model_out(model: Model) -> pb.Model:
    return pb.Model(
        id=model.id,
        context_tokens=model.context_tokens,
        summarises=model.summarises,
        sees=model.sees,
    )


def _kept_ids_in(kept: pb.KeptIds) -> KeptIds:
    return KeptIds(kept.model, kept.inherited, [*kept.ids], [*kept.fact_ids], kept.erasures_known)


def _kept_ids_out(kept: KeptIds) -> pb.KeptIds:
    return pb.KeptIds(
        model=kept.model,
        inherited=kept.inherited,
        ids=kept.ids,
        fact_ids=kept.fact_ids,
        erasures_known=kept.erasures_known,
    )

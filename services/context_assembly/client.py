"""Context-assembly, reached over gRPC."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.context_assembly.v1 import context_assembly_pb2_grpc as pb_grpc

from services.context_assembly import codec
from services.context_assembly.api import (
    Assembly,
    Compacted,
    Context,
    ConversationItems,
    ConversationPage,
    Paging,
    StoredConversation,
    Turn,
)
from services.shared.channel import MeshChannel, connect
from services.shared.codec import scope_out
from services.shared.conversation import Item
from services.shared.conversation_codec import item_in, item_out, items_in
from services.shared.scope import Scope
from services.shared.wire_errors import mesh_errors

SERVICE = pb.DESCRIPTOR.services_by_name["ContextAssemblyService"]


class ContextAssemblyClient:
    """`ContextAssembly` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.ContextAssemblyServiceStub(channel)
        self._timeout = timeout

    async def assemble(self, assembly: Assembly) -> Context:
        request = codec.assembly_out(assembly)
        with mesh_errors("context-assembly"):
            response = await self._stub.Assemble(request, timeout=self._timeout)
        return codec.context_in(response)

    async def record(self, turn: Turn) -> None:
        request = pb.RecordRequest(turn=codec.turn_out(turn))
        with mesh_errors("context-assembly"):
            await self._stub.Record(request, timeout=self._timeout)

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn:
        request = pb.GetTurnRequest(scope=scope_out(scope), id=turn_id)
        with mesh_errors("context-assembly"):
            response = await self._stub.GetTurn(request, timeout=self._timeout)
        return codec.turn_in(response.turn)

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        request = pb.DeleteTurnRequest(scope=scope_out(scope), id=turn_id)
        with mesh_errors("context-assembly"):
            await self._stub.DeleteTurn(request, timeout=self._timeout)

    async def compact(self, assembly: Assembly) -> Compacted:
        request = codec.compaction_out(assembly)
        with mesh_errors("context-assembly"):
            response = await self._stub.Compact(request, timeout=self._timeout)
        return codec.compacted_in(response)

    async def start_conversation(
        self, conversation: StoredConversation, items: Sequence[Item]
    ) -> None:
        request = pb.StartConversationRequest(
            conversation=codec.conversation_out(conversation), items=map(item_out, items)
        )
        with mesh_errors("context-assembly"):
            await self._stub.StartConversation(request, timeout=self._timeout)

    async def get_conversation(self, scope: Scope, conversation_id: str) -> StoredConversation:
        request = pb.GetConversationRequest(scope=scope_out(scope), conversation_id=conversation_id)
        with mesh_errors("context-assembly"):
            response = await self._stub.GetConversation(request, timeout=self._timeout)
        return codec.conversation_in(response.conversation)

    async def list_conversations(self, scope: Scope, paging: Paging) -> ConversationPage:
        request = pb.ListConversationsRequest(
            scope=scope_out(scope), paging=codec.paging_out(paging)
        )
        with mesh_errors("context-assembly"):
            response = await self._stub.ListConversations(request, timeout=self._timeout)
        found = [*map(codec.conversation_in, response.conversations)]
        return ConversationPage(found, response.has_more)

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation:
        request = pb.SetMetadataRequest(
            scope=scope_out(scope), conversation_id=conversation_id, metadata=metadata
        )
        with mesh_errors("context-assembly"):
            response = await self._stub.SetMetadata(request, timeout=self._timeout)
        return codec.conversation_in(response.conversation)

    async def delete_conversation(self, scope: Scope, conversation_id: str) -> None:
        request = pb.DeleteConversationRequest(
            scope=scope_out(scope), conversation_id=conversation_id
        )
        with mesh_errors("context-assembly"):
            await self._stub.DeleteConversation(request, timeout=self._timeout)

    async def list_items(
        self, scope: Scope, conversation_id: str, paging: Paging
    ) -> ConversationItems:
        request = pb.ListItemsRequest(
            scope=scope_out(scope),
            conversation_id=conversation_id,
            paging=codec.paging_out(paging),
        )
        with mesh_errors("context-assembly"):
            response = await self._stub.ListItems(request, timeout=self._timeout)
        return ConversationItems(items_in(response.items), response.has_more)

    async def get_item(self, scope: Scope, conversation_id: str, item_id: str) -> Item:
        request = pb.GetItemRequest(
            scope=scope_out(scope), conversation_id=conversation_id, item_id=item_id
        )
        with mesh_errors("context-assembly"):
            response = await self._stub.GetItem(request, timeout=self._timeout)
        return item_in(response.item)

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str) -> None:
        request = pb.DeleteItemRequest(
            scope=scope_out(scope), conversation_id=conversation_id, item_id=item_id
        )
        with mesh_errors("context-assembly"):
            await self._stub.DeleteItem(request, timeout=self._timeout)


@asynccontextmanager
async def connect_context_assembly(
    address: str, *, timeout: float
) -> AsyncIterator[ContextAssemblyClient]:
    """`timeout` is in seconds; a summary may be written within `assemble`."""
    async with connect(address, SERVICE) as channel:
        yield ContextAssemblyClient(channel, timeout=timeout)

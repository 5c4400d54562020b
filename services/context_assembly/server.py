"""Context-assembly on gRPC."""

import grpc
from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.context_assembly.v1 import context_assembly_pb2_grpc as pb_grpc

from services.context_assembly import codec
from services.context_assembly.api import ContextAssembly
from services.shared.codec import scope_in
from services.shared.conversation_codec import item_out, items_in


class ContextAssemblyServer(pb_grpc.ContextAssemblyServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["ContextAssemblyService"].full_name

    def __init__(self, context_assembly: ContextAssembly) -> None:
        self._context_assembly = context_assembly

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_ContextAssemblyServiceServicer_to_server(self, server)

    async def Assemble(self, request: pb.AssembleRequest, context: object) -> pb.AssembleResponse:
        assembly = codec.assembly_in(request)
        return codec.context_out(await self._context_assembly.assemble(assembly))

    async def Record(self, request: pb.RecordRequest, context: object) -> pb.RecordResponse:
        await self._context_assembly.record(codec.turn_in(request.turn))
        return pb.RecordResponse()

    async def GetTurn(self, request: pb.GetTurnRequest, context: object) -> pb.GetTurnResponse:
        turn = await self._context_assembly.get_turn(*codec.get_request_in(request))
        return pb.GetTurnResponse(turn=codec.turn_out(turn))

    async def DeleteTurn(
        self, request: pb.DeleteTurnRequest, context: object
    ) -> pb.DeleteTurnResponse:
        await self._context_assembly.delete_turn(*codec.delete_request_in(request))
        return pb.DeleteTurnResponse()

    async def Compact(self, request: pb.CompactRequest, context: object) -> pb.CompactResponse:
        assembly = codec.compaction_in(request)
        return codec.compacted_out(await self._context_assembly.compact(assembly))

    async def StartConversation(
        self, request: pb.StartConversationRequest, context: object
    ) -> pb.StartConversationResponse:
        conversation = codec.conversation_in(request.conversation)
        await self._context_assembly.start_conversation(conversation, items_in(request.items))
        return pb.StartConversationResponse()

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: object
    ) -> pb.GetConversationResponse:
        scope = scope_in(request.scope)
        found = await self._context_assembly.get_conversation(scope, request.conversation_id)
        return pb.GetConversationResponse(conversation=codec.conversation_out(found))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: object
    ) -> pb.ListConversationsResponse:
        scope, paging = scope_in(request.scope), codec.paging_in(request.paging)
        page = await self._context_assembly.list_conversations(scope, paging)
        found = map(codec.conversation_out, page.conversations)
        return pb.ListConversationsResponse(conversations=found, has_more=page.has_more)

    async def SetMetadata(
        self, request: pb.SetMetadataRequest, context: object
    ) -> pb.SetMetadataResponse:
        changed = await self._context_assembly.set_metadata(
            scope_in(request.scope), request.conversation_id, dict(request.metadata)
        )
        return pb.SetMetadataResponse(conversation=codec.conversation_out(changed))

    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: object
    ) -> pb.DeleteConversationResponse:
        scope = scope_in(request.scope)
        await self._context_assembly.delete_conversation(scope, request.conversation_id)
        return pb.DeleteConversationResponse()

    async def ListItems(
        self, request: pb.ListItemsRequest, context: object
    ) -> pb.ListItemsResponse:
        scope, paging = scope_in(request.scope), codec.paging_in(request.paging)
        page = await self._context_assembly.list_items(scope, request.conversation_id, paging)
        return pb.ListItemsResponse(items=map(item_out, page.items), has_more=page.has_more)

    async def GetItem(self, request: pb.GetItemRequest, context: object) -> pb.GetItemResponse:
        item = await self._context_assembly.get_item(
            scope_in(request.scope), request.conversation_id, request.item_id
        )
        return pb.GetItemResponse(item=item_out(item))

    async def DeleteItem(
        self, request: pb.DeleteItemRequest, context: object
    ) -> pb.DeleteItemResponse:
        await self._context_assembly.delete_item(
            scope_in(request.scope), request.conversation_id, request.item_id
        )
        return pb.DeleteItemResponse()

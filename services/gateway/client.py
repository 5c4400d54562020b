"""How the public gRPC endpoint is reached."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from typing import Any

import grpc
from chatmesh.gateway.v1 import gateway_pb2 as pb
from chatmesh.gateway.v1 import gateway_pb2_grpc as pb_grpc

from services.context_assembly.api import ConversationItems, Paging
from services.gateway import codec
from services.gateway.api import (
    Ask,
    ConversationCard,
    ConversationCards,
    Failed,
    Numbered,
    Response,
    Steered,
)
from services.inference.api import ModelCard
from services.shared.conversation import Item
from services.shared.conversation_codec import item_in, item_out, items_in
from services.shared.wire_errors import mesh_errors


class GatewayClient:
    """`Session` over gRPC, for callers outside the mesh."""

    def __init__(self, channel: grpc.aio.Channel, api_key: str, *, timeout: float) -> None:
        self._stub = pb_grpc.GatewayServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._timeout = timeout

    async def respond(
        self, ask: Ask, *, timeout: float | None = None
    ) -> AsyncGenerator[Numbered, None]:
        """`Session.respond`, for at most so many seconds: then it raises `DeadlineExceeded`.

        Its reader has left then, as if it had closed the generator.
        """
        call = self._stub.Respond(codec.ask_out(ask), timeout=timeout, metadata=self._metadata)
        async for numbered in _events(call):
            yield numbered

    async def follow(
        self, response_id: str, after: int = -1, *, timeout: float | None = None
    ) -> AsyncGenerator[Numbered, None]:
        """`Session.follow`, for at most so many seconds, as above."""
        known = after if after >= 0 else None
        request = pb.FollowRequest(response_id=response_id, after=known)
        call = self._stub.Follow(request, timeout=timeout, metadata=self._metadata)
        async for numbered in _events(call):
            yield numbered

    async def steer(self, response_id: str, words: Sequence[Item]) -> Steered:
        """Without a timeout of its own: the turn may take long to its next step."""
        request = pb.SteerRequest(response_id=response_id, input=map(item_out, words))
        with mesh_errors("gateway"):
            answer = await self._stub.Steer(request, metadata=self._metadata)
        return Steered(answer.steer_id, answer.response_id)

    async def get_response(self, response_id: str) -> Response:
        request = pb.GetResponseRequest(response_id=response_id)
        with mesh_errors("gateway"):
            answer = await self._stub.GetResponse(
                request, timeout=self._timeout, metadata=self._metadata
            )
        return codec.response_in(answer.response)

    async def cancel(self, response_id: str) -> Response:
        request = pb.CancelRequest(response_id=response_id)
        with mesh_errors("gateway"):
            answer = await self._stub.Cancel(
                request, timeout=self._timeout, metadata=self._metadata
            )
        return codec.response_in(answer.response)

    async def list_input_items(self, response_id: str, page: Paging) -> ConversationItems:
        request = codec.page_out(response_id, page)
        with mesh_errors("gateway"):
            answer = await self._stub.ListInputItems(
                request, timeout=self._timeout, metadata=self._metadata
            )
        return ConversationItems(items_in(answer.items), answer.has_more)

    async def count_input(self, ask: Ask) -> int:
        request = pb.CountInputRequest(request=codec.ask_out(ask))
        with mesh_errors("gateway"):
            answer = await self._stub.CountInput(
                request, timeout=self._timeout, metadata=self._metadata
            )
        return answer.input_tokens

    async def delete_response(self, response_id: str) -> None:
        request = pb.DeleteResponseRequest(response_id=response_id)
        with mesh_errors("gateway"):
            await self._stub.DeleteResponse(request, timeout=self._timeout, metadata=self._metadata)

    async def compact(self, ask: Ask) -> Response:
        with mesh_errors("gateway"):
            answer = await self._stub.Compact(codec.compaction_out(ask), metadata=self._metadata)
        return codec.response_in(answer.response)

    async def create_conversation(
        self, items: Ask, metadata: Mapping[str, str]
    ) -> ConversationCard:
        request = pb.CreateConversationRequest(items=map(item_out, items.input), metadata=metadata)
        answer = await self._answer(self._stub.CreateConversation, request)
        return codec.card_in(answer.conversation)

    async def get_conversation(self, conversation_id: str) -> ConversationCard:
        request = pb.GetConversationRequest(conversation_id=conversation_id)
        answer = await self._answer(self._stub.GetConversation, request)
        return codec.card_in(answer.conversation)

    async def list_conversations(self, paging: Paging) -> ConversationCards:
        request = pb.ListConversationsRequest(paging=codec.paging_out(paging))
        answer = await self._answer(self._stub.ListConversations, request)
        return ConversationCards(tuple(map(codec.card_in, answer.conversations)), answer.has_more)

    async def update_conversation(
        self, conversation_id: str, metadata: Mapping[str, str]
    ) -> ConversationCard:
        request = pb.UpdateConversationRequest(conversation_id=conversation_id, metadata=metadata)
        answer = await self._answer(self._stub.UpdateConversation, request)
        return codec.card_in(answer.conversation)

    async def delete_conversation(self, conversation_id: str) -> None:
        request = pb.DeleteConversationRequest(conversation_id=conversation_id)
        await self._answer(self._stub.DeleteConversation, request)

    async def add_items(self, conversation_id: str, items: Ask) -> Sequence[Item]:
        request = pb.AddItemsRequest(
            conversation_id=conversation_id, items=map(item_out, items.input)
        )
        # It may have to wait for a turn that is under way there.
        with mesh_errors("gateway"):
            answer = await self._stub.AddItems(request, metadata=self._metadata)
        return items_in(answer.items)

    async def list_items(self, conversation_id: str, paging: Paging) -> ConversationItems:
        request = pb.ListItemsRequest(
            conversation_id=conversation_id, paging=codec.paging_out(paging)
        )
        answer = await self._answer(self._stub.ListItems, request)
        return ConversationItems(items_in(answer.items), answer.has_more)

    async def get_item(self, conversation_id: str, item_id: str) -> Item:
        request = pb.GetItemRequest(conversation_id=conversation_id, item_id=item_id)
        return item_in((await self._answer(self._stub.GetItem, request)).item)

    async def delete_item(self, conversation_id: str, item_id: str) -> ConversationCard:
        request = pb.DeleteItemRequest(conversation_id=conversation_id, item_id=item_id)
        answer = await self._answer(self._stub.DeleteItem, request)
        return codec.card_in(answer.conversation)

    async def _answer(self, method: Any, request: Any) -> Any:
        with mesh_errors("gateway"):
            return await method(request, timeout=self._timeout, metadata=self._metadata)

    async def list_models(self) -> Sequence[ModelCard]:
        with mesh_errors("gateway"):
            answer = await self._stub.ListModels(
                pb.ListModelsRequest(), timeout=self._timeout, metadata=self._metadata
            )
        return [codec.model_in(model) for model in answer.models]


async def _events(call: Any) -> AsyncGenerator[Numbered, None]:
    """The events of a call; leaving cancels it.

    A turn that fails ends with an event that says so, and then the call with the same error: the
    event is enough.
    """
    responses: AsyncIterable[pb.RespondResponse | pb.FollowResponse] = call
    try:
        with mesh_errors("gateway"):
            async for response in responses:
                numbered = codec.numbered_in(response.event)
                yield numbered
                if isinstance(numbered.event, Failed):
                    return
    finally:
        call.cancel()

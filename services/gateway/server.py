"""The public gRPC endpoint: key in, session called, wire out."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import grpc
from chatmesh.gateway.v1 import gateway_pb2 as pb
from google.protobuf.message import DecodeError, Message

from services.gateway import codec
from services.gateway.api import Failed, Numbered
from services.gateway.front import Front, KeySession
from services.gateway.keys import bearer
from services.gateway.named_fields import named, with_named
from services.gateway.schemas import SchemaChecks
from services.shared.codec import refuse_older
from services.shared.conversation_codec import item_out
from services.shared.errors import Malformed, MeshError

Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request", bound=Message)
_SERVICE = pb.DESCRIPTOR.services_by_name["GatewayService"]


class GatewayServer:
    """Every method reads its request only when the caller has shown a valid key.

    To gRPC they are therefore methods with a stream of requests, of which they take one: on the
    wire that is the same. A request is bytes until then.
    """

    name = _SERVICE.full_name

    def __init__(self, front: Front) -> None:
        self._front = front
        self._schemas = SchemaChecks()

    def add_to(self, server: grpc.aio.Server) -> None:
        methods = {
            "Respond": self._streaming(pb.RespondRequest, self._respond),
            "Follow": self._streaming(pb.FollowRequest, self._follow),
            "Steer": self._answering(pb.SteerRequest, self._steer),
            "GetResponse": self._answering(pb.GetResponseRequest, self._get_response),
            "Cancel": self._answering(pb.CancelRequest, self._cancel),
            "ListInputItems": self._answering(pb.ListInputItemsRequest, self._list_input_items),
            "CountInput": self._answering(pb.CountInputRequest, self._count_input),
            "DeleteResponse": self._answering(pb.DeleteResponseRequest, self._delete_response),
            "ListModels": self._answering(pb.ListModelsRequest, self._list_models),
            "Compact": self._answering(pb.CompactRequest, self._compact),
            **self._conversation_methods(),
        }
        handlers = grpc.method_handlers_generic_handler(self.name, methods)
        server.add_generic_rpc_handlers((handlers,))

    def _conversation_methods(self) -> dict[str, Any]:
        asked: dict[str, tuple[type[Any], Callable[..., Awaitable[Message]]]] = {
            "CreateConversation": (pb.CreateConversationRequest, _create_conversation),
            "GetConversation": (pb.GetConversationRequest, _get_conversation),
            "ListConversations": (pb.ListConversationsRequest, _list_conversations),
            "UpdateConversation": (pb.UpdateConversationRequest, _update_conversation),
            "DeleteConversation": (pb.DeleteConversationRequest, _delete_conversation),
            "AddItems": (pb.AddItemsRequest, _add_items),
            "ListItems": (pb.ListItemsRequest, _list_items),
            "GetItem": (pb.GetItemRequest, _get_item),
            "DeleteItem": (pb.DeleteItemRequest, _delete_item),
        }
        return {name: self._answering(kind, asking) for name, (kind, asking) in asked.items()}

    def leave(self) -> None:
        self._front.leave()

    async def _respond(
        self, session: KeySession, request: pb.RespondRequest
    ) -> AsyncGenerator[pb.RespondResponse, None]:
        async with aclosing(session.respond(codec.ask_in(request))) as events:
            async for event in events:
                yield pb.RespondResponse(event=codec.event_out(with_named(event)))
                _raise_failure(event)

    async def _follow(
        self, session: KeySession, request: pb.FollowRequest
    ) -> AsyncGenerator[pb.FollowResponse, None]:
        after = request.after if request.HasField("after") else -1
        async with aclosing(session.follow(request.response_id, after)) as events:
            async for event in events:
                yield pb.FollowResponse(event=codec.event_out(with_named(event)))
                _raise_failure(event)

    async def _steer(self, session: KeySession, request: pb.SteerRequest) -> pb.SteerResponse:
        steered = await session.steer(request.response_id, codec.words_in(request))
        return pb.SteerResponse(steer_id=steered.id, response_id=steered.response_id)

    async def _get_response(
        self, session: KeySession, request: pb.GetResponseRequest
    ) -> pb.GetResponseResponse:
        response = await session.get_response(request.response_id)
        return pb.GetResponseResponse(response=codec.response_out(response))

    async def _cancel(self, session: KeySession, request: pb.CancelRequest) -> pb.CancelResponse:
        response = await session.cancel(request.response_id)
        return pb.CancelResponse(response=codec.response_out(response))

    async def _list_input_items(
        self, session: KeySession, request: pb.ListInputItemsRequest
    ) -> pb.ListInputItemsResponse:
        page = await session.list_input_items(request.response_id, codec.page_in(request))
        items = map(item_out, page.items)
        return pb.ListInputItemsResponse(items=items, has_more=page.has_more)

    async def _count_input(
        self, session: KeySession, request: pb.CountInputRequest
    ) -> pb.CountInputResponse:
        count = await session.count_input(codec.counted_in(request))
        return pb.CountInputResponse(input_tokens=count)

    async def _delete_response(
        self, session: KeySession, request: pb.DeleteResponseRequest
    ) -> pb.DeleteResponseResponse:
        await session.delete_response(request.response_id)
        return pb.DeleteResponseResponse()

    async def _compact(self, session: KeySession, request: pb.CompactRequest) -> pb.CompactResponse:
        response = await session.compact(codec.compaction_in(request))
        return pb.CompactResponse(response=codec.response_out(response))

    async def _list_models(
        self, session: KeySession, _: pb.ListModelsRequest
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=map(codec.model_out, await session.list_models()))

    def _streaming(
        self,
        kind: type[Request],
        behaviour: Callable[[KeySession, Request], AsyncGenerator[Message, None]],
    ) -> Any:
        async def stream(
            requests: AsyncIterator[bytes], context: Context
        ) -> AsyncGenerator[Message, None]:
            session = await self._session(context)
            with _naming(kind):
                request = await self._request(kind, requests)
                async with aclosing(behaviour(session, request)) as responses:
                    async for response in responses:
                        yield response

        return grpc.stream_stream_rpc_method_handler(stream, response_serializer=_serialized)

    def _answering(
        self, kind: type[Request], behaviour: Callable[[KeySession, Request], Awaitable[Message]]
    ) -> Any:
        async def answer(requests: AsyncIterator[bytes], context: Context) -> Message:
            session = await self._session(context)
            with _naming(kind):
                return await behaviour(session, await self._request(kind, requests))

        return grpc.stream_unary_rpc_method_handler(answer, response_serializer=_serialized)

    async def _request(self, kind: type[Request], requests: AsyncIterator[bytes]) -> Request:
        """The one request of a call. Raises `Malformed` and `OlderRelease`."""
        async for sent in requests:
            try:
                request = kind.FromString(sent)
            except DecodeError:
                raise Malformed("the request is not of this method's message") from None
            refuse_older(request)
            if fields := codec.fields_in(request):
                await self._schemas.check(fields)
            return request
        raise Malformed("the call has no request")

    async def _session(self, context: Context) -> KeySession:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        return await self._front.session(bearer(metadata.get("authorization", "")))


@contextmanager
def _naming(kind: type[Message]) -> Iterator[None]:
    """What is wrong is told by the names that the caller knows."""
    try:
        yield
    except MeshError as error:
        raise named(error, kind.DESCRIPTOR.fields_by_name.keys()) from None


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def _raise_failure(numbered: Numbered) -> None:
    """A turn that failed ends its call with the status of its error."""
    if isinstance(numbered.event, Failed):
        raise numbered.event.error()


async def _create_conversation(
    session: KeySession, request: pb.CreateConversationRequest
) -> pb.CreateConversationResponse:
    items = codec.added_in(request.items)
    card = await session.create_conversation(items, dict(request.metadata))
    return pb.CreateConversationResponse(conversation=codec.card_out(card))


async def _get_conversation(
    session: KeySession, request: pb.GetConversationRequest
) -> pb.GetConversationResponse:
    card = await session.get_conversation(request.conversation_id)
    return pb.GetConversationResponse(conversation=codec.card_out(card))


async def _list_conversations(
    session: KeySession, request: pb.ListConversationsRequest
) -> pb.ListConversationsResponse:
    page = await session.list_conversations(codec.page_in(request.paging))
    cards = map(codec.card_out, page.cards)
    return pb.ListConversationsResponse(conversations=cards, has_more=page.has_more)


async def _update_conversation(
    session: KeySession, request: pb.UpdateConversationRequest
) -> pb.UpdateConversationResponse:
    metadata = dict(request.metadata)
    card = await session.update_conversation(request.conversation_id, metadata)
    return pb.UpdateConversationResponse(conversation=codec.card_out(card))


async def _delete_conversation(
    session: KeySession, request: pb.DeleteConversationRequest
) -> pb.DeleteConversationResponse:
    await session.delete_conversation(request.conversation_id)
    return pb.DeleteConversationResponse()


async def _add_items(session: KeySession, request: pb.AddItemsRequest) -> pb.AddItemsResponse:
    items = codec.added_in(request.items)
    added = await session.add_items(request.conversation_id, items)
    return pb.AddItemsResponse(items=map(item_out, added))


async def _list_items(session: KeySession, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
    paging = codec.page_in(request.paging)
    page = await session.list_items(request.conversation_id, paging)
    return pb.ListItemsResponse(items=map(item_out, page.items), has_more=page.has_more)


async def _get_item(session: KeySession, request: pb.GetItemRequest) -> pb.GetItemResponse:
    item = await session.get_item(request.conversation_id, request.item_id)
    return pb.GetItemResponse(item=item_out(item))


async def _delete_item(session: KeySession, request: pb.DeleteItemRequest) -> pb.DeleteItemResponse:
    card = await session.delete_item(request.conversation_id, request.item_id)
    return pb.DeleteItemResponse(conversation=codec.card_out(card))

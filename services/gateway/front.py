"""What the holder of a key may do: the one way from every public protocol to the turn."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from services.context_assembly.api import ConversationItems, Paging, Turn, TurnNotFound
from services.gateway import documents
from services.gateway.admission import Admission
from services.gateway.api import (
    Ask,
    Completed,
    Continued,
    ConversationCard,
    ConversationCards,
    EventsGone,
    Failed,
    InvalidRequest,
    NotCancellable,
    Numbered,
    Response,
    ResponseNotFound,
    Started,
    Status,
    Steered,
)
from services.gateway.attachments import with_read_files
from services.gateway.authenticator import Authenticator, Principal
from services.gateway.connections import Connections
from services.gateway.conversations import ConversationKeeper
from services.gateway.fleet import Fleet
from services.gateway.intake import seal
from services.gateway.kept_events import KeptEvents, absent
from services.gateway.live_turns import LiveTurns
from services.gateway.once_kept import OnceKept
from services.gateway.paging import page_of
from services.gateway.ports import Account, Neighbours
from services.gateway.references import with_referenced
from services.gateway.repeats import Repeats
from services.gateway.retelling import is_last, retold, so_far
from services.gateway.screening import Screening
from services.gateway.steering import Steer, over
from services.inference.api import ModelCard
from services.shared.conversation import Item, Reasoning
from services.shared.ids import make_response_id
from services.shared.scope import Scope


class Front:
    """Lets callers in, each to what is theirs."""

    def __init__(
        self,
        authenticator: Authenticator,
        live_turns: LiveTurns,
        fleet: Fleet,
        neighbours: Neighbours,
        *,
        connections: Connections,
        repeats: Repeats,
        conversations: ConversationKeeper,
        streams_lost: Callable[[], bool],
    ) -> None:
        self._streams_lost = streams_lost
        self.fleet = fleet
        self.conversations = conversations
        self.once_kept = OnceKept(conversations, neighbours.context, repeats)
        self.live_turns = live_turns
        self._kept_events = KeptEvents(live_turns, neighbours.context)
        self.connections = connections
        self._screening = Screening(neighbours.moderation)
        self._authenticator = authenticator
        self._context = neighbours.context
        self.repeats = repeats
        self._leaving = False

    @property
    def admission(self) -> Admission:
        return self.live_turns.admission

    async def session(self, api_key: str) -> "KeySession":
        """Raises `InvalidKey`."""
        principal = await self._authenticator.authenticate(api_key)
        return KeySession(self, principal)

    def principal_of(self, account: Account, key_id: str) -> Principal:
        """Of a key that another gateway has recognised."""
        return self._authenticator.principal_of(account, key_id)

    def leave(self) -> None:
        """Turns still come for a while, but whoever asks is sent elsewhere."""
        self._leaving = True

    def not_ready(self) -> str:
        """Why no turn can be served now; empty when one can."""
        if self._leaving:
            return "draining"
        return "" if self.fleet.serves else "waiting for inference to load a model"

    def lacking(self) -> str:
        """What does not work though turns are served; empty when all does."""
        if self._streams_lost():
            return "redis is lost: no response can be resumed at another gateway, or in background"
        return ""

    async def start(self, principal: Principal, ask: Ask) -> tuple[str, bool]:
        """Starts a turn; the id of its response, and whether it was started before.

        So it is of a request that was sent before with the same idempotency key.
        """
        if ask.once is None:
            return await self.live_turns.start(principal, ask), False
        scope = principal.account.scope("")
        response_id = make_response_id(ask.tree_id)
        answers = await self.repeats.once(
            scope.organisation,
            ask.once,
            response_id,
            start=partial(self.live_turns.start, principal, ask, response_id),
            is_answer=lambda use: self._is_answer(scope, ask, use.response_id),
        )
        return answers, answers != response_id

    async def _is_answer(self, scope: Scope, ask: Ask, response_id: str) -> bool:
        """Whether the turn answers the request when it is sent again.

        Raises `EventsGone` where it did, and nothing of that was kept.
        """
        well = await self.live_turns.ended_well(response_id)
        if well is not None:
            # Of one in the background, the caller knows the id, and reads how it failed.
            return (well or ask.background) and await self._kept_events.may_be_told(
                scope, response_id
            )
        try:
            response = await self.find(scope, response_id)
        except ResponseNotFound:
            if ask.store:
                return False
            raise EventsGone(
                "the answer to this key is not kept any more, since it was not to be stored"
            ) from None
        return ask.background or response.error is None

    async def read(
        self, scope: Scope, response_id: str, *, sent_again: bool = False
    ) -> AsyncGenerator[Numbered, None]:
        """The events of a turn that was started here, or as its stored response tells them.

        `sent_again`: the turn is one that answered the request before.
        """
        begun = False
        try:
            if sent_again:
                await self._kept_events.check(scope, response_id)
            async with aclosing(self.live_turns.read(response_id)) as events:
                async for numbered in events:
                    begun = True
                    yield numbered
            return
        except EventsGone:
            if begun:
                raise
        for number, event in enumerate(retold(await self.find(scope, response_id))):
            yield Numbered(number, event)

    async def follow(
        self, scope: Scope, response_id: str, after: int
    ) -> AsyncGenerator[Numbered, None]:
        await self._check_owner(scope, response_id)
        await self._kept_events.check(scope, response_id)
        async with aclosing(self.live_turns.read(response_id, after)) as events:
            async for numbered in events:
                yield numbered

    async def steer(self, scope: Scope, response_id: str, words: Sequence[Item]) -> Steer:
        """Gives a turn words, as moderation lets them pass; its outcome is told later.

        Raises what `LiveTurns.steer` does, `InputBlocked`, `InvalidRequest` and `ResponseNotFound`.
        """
        try:
            await self._check_owner(scope, response_id)
            await self._kept_events.check(scope, response_id)
        except EventsGone:  # it ended some time ago, and is stored
            raise over() from None
        read = with_read_files(Ask(model="", input=tuple(words)))
        screened = await self._screening.screen(read)
        return await self.live_turns.steer(response_id, screened.input)

    async def resolved(self, scope: Scope, ask: Ask) -> Ask:
        """The ask with the items that it names by their ids. Raises `InvalidRequest`."""
        return await with_referenced(ask, self._context, scope)

    async def find(self, scope: Scope, response_id: str) -> Response:
        """A stored response, or what is there of one that will be stored."""
        if stored := await self._stored(scope, response_id):
            return documents.load(stored)
        if under_way := await self._said(scope, response_id):
            return under_way
        # It may have ended between these two.
        if stored := await self._stored(scope, response_id):
            return documents.load(stored)
        raise absent()

    async def check(self, scope: Scope, response_id: str) -> None:
        """Raises `ResponseNotFound` where `find` does, and reads little of what it would."""
        # What is under way is stored before it ends: one of the two is seen.
        if await self._under_way(scope, response_id) or await self._stored(scope, response_id):
            return
        raise absent()

    async def cancel(self, scope: Scope, response_id: str) -> Response:
        under_way = await self._under_way(scope, response_id)
        if under_way and under_way.background:
            await self.live_turns.cancel(response_id)
        response = await self.find(scope, response_id)
        if not response.background:
            raise InvalidRequest(
                "only a response in the background can be cancelled", param="response_id"
            )
        if response.status is not Status.CANCELLED:
            raise NotCancellable("the response has ended already", param="response_id")
        return response

    async def delete(self, scope: Scope, response_id: str) -> None:
        under_way = await self._under_way(scope, response_id)
        if under_way:
            await self.live_turns.erase(response_id)
        elif not await self._stored(scope, response_id):
            raise absent()
        try:
            await self._context.delete_turn(scope, response_id)
        except TurnNotFound:
            # Where it was stopped in time, nothing of it was stored.
            if not under_way:
                raise absent() from None

    async def input_items(self, scope: Scope, response_id: str) -> Sequence[Item]:
        """What the request of a response brought, the first item first."""
        if stored := await self._stored(scope, response_id):
            return documents.own_input(stored)
        if await self._under_way(scope, response_id):
            items = await self.live_turns.input_of(response_id)
            if items is not None:
                return items
        if stored := await self._stored(scope, response_id):
            return documents.own_input(stored)
        raise absent()

    async def _stored(self, scope: Scope, response_id: str) -> Turn | None:
        """A turn without a document is no response: items, or what a conversation alone keeps."""
        try:
            turn = await self._context.get_turn(scope, response_id)
        except TurnNotFound:
            return None
        return turn if turn.document else None

    async def _under_way(self, scope: Scope, response_id: str) -> Started | None:
        """How a turn of the scope's project that goes on has begun; None, unless it will be stored.

        A turn may have said much by now, and all who resume it ask this: only its ends are read.
        """
        try:
            owner = await self.live_turns.owner(response_id)
            if not _same_project(owner, scope):
                return None
            events = await self.live_turns.ends(response_id)
        except EventsGone:
            return None
        if not events or is_last(events[-1]):
            return None
        started = events[0]
        return started if isinstance(started, Started) and started.stored else None

    async def _said(self, scope: Scope, response_id: str) -> Response | None:
        """What there is of a turn that is under way, as `_under_way` finds it."""
        if not await self._under_way(scope, response_id):
            return None
        try:
            events = await self.live_turns.so_far(response_id)
        except EventsGone:
            return None
        return None if is_last(events[-1]) else so_far(events).under_way()

    async def _check_owner(self, scope: Scope, response_id: str) -> None:
        """Raises `ResponseNotFound`; `EventsGone` where the response itself is still there."""
        try:
            owner = await self.live_turns.owner(response_id)
        except EventsGone:
            await self.find(scope, response_id)
            raise
        if not _same_project(owner, scope):
            raise absent()


class KeySession:
    """`Session` of one valid key."""

    def __init__(self, front: Front, principal: Principal) -> None:
        self._front = front
        self._principal = principal
        self._scope = principal.account.scope("")

    @property
    def key_id(self) -> str:
        return self._principal.key_id

    async def respond(self, ask: Ask) -> AsyncGenerator[Numbered, None]:
        response_id, sent_again = await self._front.start(self._principal, ask)
        while response_id:
            following = ""
            events = self._front.read(self._scope, response_id, sent_again=sent_again)
            async with aclosing(events):
                async for numbered in events:
                    if isinstance(numbered.event, Continued):
                        following = numbered.event.response_id
                    yield numbered
            response_id = following

    async def steer(self, response_id: str, words: Sequence[Item]) -> Steered:
        steer = await self.offer(response_id, words)
        return Steered(steer.id, await steer.told())

    async def offer(self, response_id: str, words: Sequence[Item]) -> Steer:
        """As `steer`, without waiting until the words are taken in."""
        return await self._front.steer(self._scope, response_id, words)

    async def resolved(self, ask: Ask) -> Ask:
        """The ask with the items that it names by their ids. Raises `InvalidRequest`."""
        scope = self._principal.account.scope(ask.safety_identifier)
        return await self._front.resolved(scope, ask)

    def follow(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        """Until the turn ends, or this key is revoked: the turn may be another key's."""
        events = self._front.follow(self._scope, response_id, after)
        return self._front.connections.reading(self.key_id, events)

    def under_way(self, response_id: str) -> bool:
        """Whether it is a turn that has not ended, whoever's it is."""
        return self._front.live_turns.is_under_way(response_id)

    async def check_response(self, response_id: str) -> None:
        """Raises `ResponseNotFound` where there is no such response."""
        await self._front.check(self._scope, response_id)

    async def get_response(self, response_id: str) -> Response:
        return await self._front.find(self._scope, response_id)

    def sealed(self, response: Response) -> Response:
        """The response with reasoning that is sealed too, as far as it is not yet."""
        sealer = self._principal.sealer
        items = (
            replace(item, opaque=seal(sealer, item.text))
            if isinstance(item, Reasoning) and item.text and not item.opaque
            else item
            for item in response.output
        )
        return replace(response, output=tuple(items))

    async def cancel(self, response_id: str) -> Response:
        return await self._front.cancel(self._scope, response_id)

    async def delete_response(self, response_id: str) -> None:
        await self._front.delete(self._scope, response_id)

    async def list_input_items(self, response_id: str, page: Paging) -> ConversationItems:
        return page_of(await self._front.input_items(self._scope, response_id), page)

    async def count_input(self, ask: Ask) -> int:
        return await self._front.live_turns.count(self._principal, ask)

    async def compact(self, ask: Ask) -> Response:
        async with aclosing(self.respond(ask)) as events:
            async for numbered in events:
                if isinstance(numbered.event, Failed):
                    raise numbered.event.error()
                if isinstance(numbered.event, Completed):
                    return numbered.event.response
        raise AssertionError("a turn ends with Completed or Failed")

    async def create_conversation(
        self, items: Ask, metadata: Mapping[str, str]
    ) -> ConversationCard:
        return await self._front.once_kept.create(self._principal, items, metadata)

    async def get_conversation(self, conversation_id: str) -> ConversationCard:
        return await self._front.conversations.get(self._scope, conversation_id)

    async def list_conversations(self, paging: Paging) -> ConversationCards:
        return await self._front.conversations.list(self._scope, paging)

    async def update_conversation(
        self, conversation_id: str, metadata: Mapping[str, str]
    ) -> ConversationCard:
        return await self._front.conversations.update(self._scope, conversation_id, metadata)

    async def delete_conversation(self, conversation_id: str) -> None:
        await self._front.conversations.delete(self._scope, conversation_id)

    async def add_items(self, conversation_id: str, items: Ask) -> Sequence[Item]:
        return await self._front.once_kept.add(self._principal, conversation_id, items)

    async def list_items(self, conversation_id: str, paging: Paging) -> ConversationItems:
        return await self._front.conversations.items(self._scope, conversation_id, paging)

    async def get_item(self, conversation_id: str, item_id: str) -> Item:
        return await self._front.conversations.item(self._scope, conversation_id, item_id)

    async def delete_item(self, conversation_id: str, item_id: str) -> ConversationCard:
        return await self._front.conversations.delete_item(self._scope, conversation_id, item_id)

    async def get_model(self, model: str) -> ModelCard:
        return self._front.fleet.card(model)

    async def list_models(self) -> Sequence[ModelCard]:
        return self._front.fleet.cards()


def _same_project(owner: Scope, scope: Scope) -> bool:
    return (owner.organisation, owner.project) == (scope.organisation, scope.project)

"""What the holder of a key may do: the one way from every public protocol to the turn."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.context_assembly.api import TurnNotFound
from services.gateway import documents
from services.gateway.admission import Admission
from services.gateway.api import (
    Ask,
    Continued,
    EventsGone,
    Numbered,
    Response,
    ResponseNotFound,
    Steered,
)
from services.gateway.authenticator import Authenticator, Principal
from services.gateway.connections import Connections
from services.gateway.fleet import Fleet
from services.gateway.live_turns import LiveTurns
from services.gateway.ports import Neighbours
from services.gateway.references import with_referenced
from services.gateway.screening import Screening
from services.gateway.steering import Steer, over
from services.inference.api import ModelCard
from services.shared.conversation import Item
from services.shared.scope import Scope


class Front:
    """Lets callers in, each to what is theirs."""

    def __init__(
        self,
        authenticator: Authenticator,
        live_turns: LiveTurns,
        fleet: Fleet,
        neighbours: Neighbours,
        connections: Connections,
    ) -> None:
        self.fleet = fleet
        self.live_turns = live_turns
        self.connections = connections
        self._screening = Screening(neighbours.moderation)
        self._authenticator = authenticator
        self._context = neighbours.context
        self._leaving = False

    @property
    def admission(self) -> Admission:
        return self.live_turns.admission

    async def session(self, api_key: str) -> "KeySession":
        """Raises `InvalidKey`."""
        principal = await self._authenticator.authenticate(api_key)
        return KeySession(self, principal)

    def leave(self) -> None:
        """Turns still come for a while, but whoever asks is sent elsewhere."""
        self._leaving = True

    def not_ready(self) -> str:
        """Why no turn can be served now; empty when one can."""
        if self._leaving:
            return "draining"
        return "" if self.fleet.serves else "waiting for inference to load a model"

    async def follow(
        self, scope: Scope, response_id: str, after: int
    ) -> AsyncGenerator[Numbered, None]:
        await self._check_owner(scope, response_id)
        async with aclosing(self.live_turns.read(response_id, after)) as events:
            async for numbered in events:
                yield numbered

    async def steer(self, scope: Scope, response_id: str, words: Sequence[Item]) -> Steer:
        """Gives a turn words, as moderation lets them pass; its outcome is told later.

        Raises what `LiveTurns.steer` does, `InputBlocked` and `ResponseNotFound`.
        """
        try:
            await self._check_owner(scope, response_id)
        except EventsGone:  # it ended some time ago, and is stored
            raise over() from None
        screened = await self._screening.screen(Ask(model="", input=tuple(words)))
        return self.live_turns.steer(response_id, screened.input)

    async def resolved(self, scope: Scope, ask: Ask) -> Ask:
        """The ask with the items that it names by their ids. Raises `InvalidRequest`."""
        return await with_referenced(ask, self._context, scope)

    async def find(self, scope: Scope, response_id: str) -> Response:
        try:
            return documents.load(await self._context.get_turn(scope, response_id))
        except TurnNotFound:
            raise _absent() from None

    async def delete(self, scope: Scope, response_id: str) -> None:
        try:
            await self._context.delete_turn(scope, response_id)
        except TurnNotFound:
            raise _absent() from None

    async def _check_owner(self, scope: Scope, response_id: str) -> None:
        """Raises `ResponseNotFound`; `EventsGone` where the response itself is still there."""
        try:
            owner = await self.live_turns.owner(response_id)
        except EventsGone:
            await self.find(scope, response_id)
            raise
        if (owner.organisation, owner.project) != (scope.organisation, scope.project):
            raise _absent()


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
        live_turns = self._front.live_turns
        response_id = await live_turns.start(self._principal, ask)
        while response_id:
            following = ""
            async with aclosing(live_turns.read(response_id)) as events:
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
        return self._front.follow(self._scope, response_id, after)

    def under_way(self, response_id: str) -> bool:
        """Whether it is a turn that has not ended, whoever's it is."""
        return self._front.live_turns.is_under_way(response_id)

    async def get_response(self, response_id: str) -> Response:
        return await self._front.find(self._scope, response_id)

    async def delete_response(self, response_id: str) -> None:
        await self._front.delete(self._scope, response_id)

    async def get_model(self, model: str) -> ModelCard:
        return self._front.fleet.card(model)

    async def list_models(self) -> Sequence[ModelCard]:
        return self._front.fleet.cards()


def _absent() -> ResponseNotFound:
    return ResponseNotFound("there is no such response", param="response_id")

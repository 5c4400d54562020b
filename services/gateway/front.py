"""What the holder of a key may do: the one way from every public protocol to the turn."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from services.context_assembly.api import ContextAssembly, TurnNotFound
from services.gateway import documents
from services.gateway.admission import Admission
from services.gateway.api import Ask, Response, ResponseNotFound, TurnEvent
from services.gateway.authenticator import Authenticator, Principal
from services.gateway.fleet import Fleet
from services.gateway.journal import LiveTurn
from services.inference.api import ModelCard
from services.shared.chat import Scope


class Turns(Protocol):
    """`TurnLoop`, or what watches it."""

    def run(self, principal: Principal, ask: Ask) -> AsyncGenerator[TurnEvent, None]: ...


class Front:
    """Lets callers in, each to what is theirs."""

    def __init__(
        self,
        authenticator: Authenticator,
        admission: Admission,
        turns: Turns,
        fleet: Fleet,
        context: ContextAssembly,
        *,
        turn_seconds: float,
    ) -> None:
        self.admission = admission
        self.fleet = fleet
        self._authenticator = authenticator
        self._turns = turns
        self._context = context
        self._turn_seconds = turn_seconds
        self._leaving = False

    async def session(self, api_key: str) -> "KeySession":
        """Raises `InvalidKey`."""
        principal = await self._authenticator.authenticate(api_key)
        return KeySession(self, principal)

    async def run(self, principal: Principal, ask: Ask) -> AsyncGenerator[TurnEvent, None]:
        with self.admission.admitted(principal.account.id):
            live = LiveTurn(lambda: self._turns.run(principal, ask), seconds=self._turn_seconds)
            async with aclosing(live.read()) as events:
                async for event in events:
                    yield event

    def leave(self) -> None:
        """Turns still come for a while, but whoever asks is sent elsewhere."""
        self._leaving = True

    def not_ready(self) -> str:
        """Why no turn can be served now; empty when one can."""
        if self._leaving:
            return "draining"
        return "" if self.fleet.serves else "waiting for inference to load a model"

    async def find(self, principal: Principal, response_id: str) -> Response:
        scope = Scope(principal.account.id)
        try:
            return documents.load(await self._context.get_turn(scope, response_id))
        except TurnNotFound:
            raise _absent() from None

    async def delete(self, principal: Principal, response_id: str) -> None:
        try:
            await self._context.delete_turn(Scope(principal.account.id), response_id)
        except TurnNotFound:
            raise _absent() from None


class KeySession:
    """`Session` of one valid key."""

    def __init__(self, front: Front, principal: Principal) -> None:
        self._front = front
        self._principal = principal

    def respond(self, ask: Ask) -> AsyncGenerator[TurnEvent, None]:
        return self._front.run(self._principal, ask)

    async def get_response(self, response_id: str) -> Response:
        return await self._front.find(self._principal, response_id)

    async def delete_response(self, response_id: str) -> None:
        await self._front.delete(self._principal, response_id)

    async def get_model(self, model: str) -> ModelCard:
        return self._front.fleet.card(model)

    async def list_models(self) -> Sequence[ModelCard]:
        return self._front.fleet.cards()


def _absent() -> ResponseNotFound:
    return ResponseNotFound("there is no such response", param="response_id")

"""Conversations that are begun, and items that are added, once for one idempotency key."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from services.context_assembly.api import ContextAssembly, TurnNotFound
from services.gateway.api import Ask, ConversationCard, KeyInUse, NoSuchConversation
from services.gateway.authenticator import Principal
from services.gateway.conversations import ConversationKeeper
from services.gateway.ports import KeyUse
from services.gateway.repeats import Repeats
from services.shared.background import failure_of
from services.shared.conversation import Item
from services.shared.ids import first_turn_of, make_conversation_id, make_response_id

# So long a request may take that nobody has heard of again. Then its process has died with it.
_LONGEST_MS = 60_000


class OnceKept:
    """Answers a request that is sent again with what its first sending has made.

    Unlike a turn, what is made here cannot be joined while it is made: raises `KeyInUse`.
    """

    def __init__(
        self, keeper: ConversationKeeper, context: ContextAssembly, repeats: Repeats
    ) -> None:
        self._keeper = keeper
        self._context = context
        self._repeats = repeats

    async def create(
        self, principal: Principal, items: Ask, metadata: Mapping[str, str]
    ) -> ConversationCard:
        conversation_id = make_conversation_id()
        create = partial(self._keeper.create, principal, items, metadata, conversation_id)
        if items.once is None:
            return await create()
        made = await self._once(principal, items, conversation_id, create, self._has_conversation)
        return await self._keeper.get(principal.account.scope(""), made)

    async def add(self, principal: Principal, conversation_id: str, items: Ask) -> Sequence[Item]:
        turn_id = make_response_id(first_turn_of(conversation_id))
        add = partial(self._keeper.add, principal, conversation_id, items, turn_id)
        if items.once is None:
            return await add()

        async def is_there(principal: Principal, turn_id: str) -> bool:
            # Nothing is added to a conversation that was erased meanwhile.
            await self._keeper.get(principal.account.scope(""), conversation_id)
            return await self._has_turn(principal, turn_id)

        made = await self._once(principal, items, turn_id, add, is_there)
        return (await self._context.get_turn(principal.account.scope(""), made)).input

    async def _once(
        self,
        principal: Principal,
        items: Ask,
        made_id: str,
        make: Callable[[], Awaitable[object]],
        is_there: Callable[[Principal, str], Awaitable[bool]],
    ) -> str:
        """The id of what was made."""
        once = items.once
        assert once
        organisation = principal.account.scope("").organisation

        async def start() -> None:
            await make()
            await failure_of(self._repeats.note_made(organisation, once, made_id))

        async def is_answer(use: KeyUse) -> bool:
            if await is_there(principal, use.response_id):
                return True
            if self._repeats.was_made(once, use):
                return False  # it has been erased since
            if time.time_ns() // 1_000_000 - use.at_ms < _LONGEST_MS:
                raise KeyInUse("a request with this key is under way", retry_after="1")
            return False

        return await self._repeats.once(
            organisation, once, made_id, start=start, is_answer=is_answer
        )

    async def _has_conversation(self, principal: Principal, conversation_id: str) -> bool:
        try:
            await self._keeper.get(principal.account.scope(""), conversation_id)
        except NoSuchConversation:
            return False
        return True

    async def _has_turn(self, principal: Principal, turn_id: str) -> bool:
        try:
            await self._context.get_turn(principal.account.scope(""), turn_id)
        except TurnNotFound:
            return False
        return True

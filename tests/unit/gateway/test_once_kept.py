"""What is made once for a key, while it is made and when its maker has died."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Sequence

import pytest

from services.context_assembly.api import StoredConversation, Turn
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import Ask, KeyInUse, Once
from services.gateway.conversations import ConversationKeeper
from services.gateway.lanes import Lanes
from services.gateway.once_kept import OnceKept
from services.gateway.ports import KeyUse, Neighbours
from services.gateway.repeats import Repeats
from services.shared.conversation import Item
from services.shared.ids import make_conversation_id
from tests.fakes.mesh import FewTools, ScriptedInference, WordContext
from tests.fakes.moderation import WordModeration
from tests.unit.gateway.test_conversations import ADA, user

ONCE = Once("k", b"digest")
ASKED = Ask("", (user("one"),), once=ONCE)
SECRET = b"secret"


class HeldContext(WordContext):
    """What is kept waits for a test's word."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def start_conversation(
        self, conversation: StoredConversation, items: Sequence[Item]
    ) -> None:
        await self._hold()
        await super().start_conversation(conversation, items)

    async def record(self, turn: Turn) -> None:
        await self._hold()
        await super().record(turn)

    async def _hold(self) -> None:
        self.held.set()
        await self.go_on.wait()


def opened(context: WordContext, keys: InMemoryAccounts) -> OnceKept:
    neighbours = Neighbours(WordModeration(), context, ScriptedInference(), FewTools())
    keeper = ConversationKeeper(neighbours, Lanes(context))
    return OnceKept(keeper, context, Repeats(keys, secret=SECRET))


@pytest.mark.parametrize("adds", [False, True])
async def test_who_comes_meanwhile_is_told_to_come_again(adds: bool) -> None:
    context = HeldContext()
    kept = opened(context, InMemoryAccounts())
    chat = await kept.create(ADA, Ask("", ()), {})

    async def make() -> object:
        if adds:
            return await kept.add(ADA, chat.id, ASKED)
        return await kept.create(ADA, ASKED, {})

    context.held.clear()
    context.go_on.clear()
    first = asyncio.create_task(make())
    await asyncio.wait_for(context.held.wait(), 5)
    with pytest.raises(KeyInUse):
        await make()
    context.go_on.set()
    assert await first == await make()


@pytest.mark.parametrize(("age_ms", "is_made"), [(1000, False), (70_000, True)])
async def test_what_died_with_its_process_is_made_anew_after_a_while(
    age_ms: int, is_made: bool
) -> None:
    keys = InMemoryAccounts()
    fingerprint = hmac.digest(SECRET, ONCE.digest, hashlib.sha256)
    at_ms = time.time_ns() // 1_000_000 - age_ms
    lost = KeyUse(fingerprint, make_conversation_id(), at_ms)
    await keys.use(ADA.account.scope("").organisation, ONCE.key, lost)
    kept = opened(WordContext(), keys)
    if not is_made:
        with pytest.raises(KeyInUse):
            await kept.create(ADA, ASKED, {})
        return
    made = await kept.create(ADA, ASKED, {})
    assert made == await kept.create(ADA, ASKED, {})
    assert made.id != lost.response_id

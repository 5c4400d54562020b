"""How long a turn takes to be written and a conversation to be read, by its length and its store.

The store alone, opened as context-assembly opens it and asked one call after the other.
"""

import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from loadtest.report import progress, table
from services.context_assembly.api import KeptIds, StoredConversation, Turn
from services.context_assembly.config import ContextAssemblyConfig
from services.context_assembly.ports import TurnStore
from services.context_assembly.wiring import SERVICE, open_turns
from services.shared.conversation import Message, Role, Text
from services.shared.errors import Unavailable
from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_item_id,
    make_response_id,
)
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl

LENGTHS = (10, 1_000, 10_000)
# About what a window of 8,000 tokens holds.
MAX_CHARS = 32_000
_SAMPLES = 100
_MODEL = "m"
SCOPE = Scope("org_bench", "default", "owner")
_QUESTION, _ANSWER = "a question of fifty words " * 12, "an answer of two hundred words " * 30
_IDS = KeptIds(_MODEL, 0, [*range(300)])


@dataclass(slots=True)
class _Times:
    """Of the last turns of a conversation, in milliseconds."""

    append: list[float] = field(default_factory=list)
    assemble: list[float] = field(default_factory=list)
    # How many turns an assembly read.
    read: int = 0


async def measured(urls: Sequence[str], lengths: Sequence[int] = LENGTHS) -> str:
    """A store that gives up at a length is not asked for a longer one, and the table says so."""
    rows: list[Sequence[object]] = []
    given_up: list[str] = []
    for url in urls:
        config = ContextAssemblyConfig(turns_url=StoreUrl(url))
        scheme = config.turns_url.scheme
        assert SERVICE.migrate
        await SERVICE.migrate(config)
        async with open_turns(config.turns_url, erased_within_seconds=3600) as store:
            for length in lengths:
                progress(f"stores: {scheme}, {length:,} turns")
                try:
                    times = await _at(store, length)
                except Unavailable as error:
                    given_up.append(f"{scheme} at {length:,} turns gave up: {error}")
                    break
                rows.append((scheme, length, *_shares(times), times.read))
    told = table(
        f"A conversation whose turns have some {len(_QUESTION) + len(_ANSWER):,} characters and"
        f" {len(_IDS.ids)} kept ids: appending one, and reading what {MAX_CHARS:,} characters hold,"
        f" ms, the last {_SAMPLES} of each",
        (
            *("store", "turns", "append p50", "append p99"),
            *("assemble p50", "assemble p99", "turns read"),
        ),
        rows,
    )
    return "\n".join([told, *given_up])


async def _at(store: TurnStore, length: int) -> _Times:
    """The later half of a short conversation counts, and as many conversations as that takes."""
    each = min(_SAMPLES, length // 2)
    times = _Times()
    for _ in range(_SAMPLES // each):
        number = 0
        async for turn in _conversation(store, length - 1):
            number += 1
            began = time.perf_counter()
            assert await store.add(turn)
            added = time.perf_counter()
            if number < length - each:
                continue
            path = await store.path(SCOPE, turn.id, _MODEL, MAX_CHARS)
            assert path
            times.assemble.append((time.perf_counter() - added) * 1000)
            times.append.append((added - began) * 1000)
            times.read = len(path.turns)
    return times


async def _conversation(store: TurnStore, turns: int) -> AsyncIterator[Turn]:
    """Begins one, and says what follows, turn by turn."""
    conversation_id = make_conversation_id()
    now = time.time_ns() // 1_000_000
    first = stored_turn(first_turn_of(conversation_id), "", conversation_id, now)
    begun = StoredConversation(conversation_id, SCOPE, now, {}, first.id)
    await store.start(begun, first)
    parent_id = first.id
    for _ in range(turns):
        turn = stored_turn(make_response_id(parent_id), parent_id, conversation_id, now)
        yield turn
        parent_id = turn.id


def stored_turn(turn_id: str, parent_id: str, conversation_id: str, now: int) -> Turn:
    """A question and an answer of `SCOPE`, made at `now`, in milliseconds since the epoch."""
    said = (Role.USER, _QUESTION), (Role.ASSISTANT, _ANSWER)
    asked, answered = (
        Message(make_item_id("msg", turn_id), role, (Text(text),)) for role, text in said
    )
    return Turn(
        id=turn_id,
        scope=SCOPE,
        parent_id=parent_id,
        created_at_ms=now,
        input=[asked],
        output=[answered],
        memory_ids=[],
        document="{}",
        kept_ids=_IDS,
        conversation_id=conversation_id,
    )


def _shares(times: _Times) -> Sequence[float]:
    found: list[float] = []
    for each in (times.append, times.assemble):
        shares = statistics.quantiles(each, n=100, method="inclusive")
        found += (shares[49], shares[98])
    return found

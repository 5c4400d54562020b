"""What context-assembly calls, small and working: a tokenizer of words, a memory, a writer."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from services.context_assembly.api import Assembly, KeptIds, Model, Turn
from services.context_assembly.assembler import Assembler
from services.context_assembly.memories import Recaller
from services.context_assembly.ports import Memory, Tokenizer, TurnStore
from services.context_assembly.summaries import Compactor, ModelSummariser
from services.context_assembly.trimmer import Trimmer
from services.inference.api import Delta, Generation, Piece
from services.memory.api import Erasure, Fact, Kind, Recollection
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Item,
    Message,
    Part,
    Parts,
    Picture,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.tools import Tool
from services.tokenizer.api import FitRequest, Fitted, TemplateMessage, TemplateRefused
from services.tokenizer.fitter import Fitter

SCOPE = Scope("acme", "main", "ann")
SUMMARISING = Model("clever", 200, summarises=True)
PLAIN = Model("plain", 200, summarises=False)
SEEING = Model("seeing", 200, summarises=False, sees=True)
PICTURE = Picture("image/png", content=b"\x89PNG")


class WordTokenizer:
    """A `Tokenizer` whose tokens are words: it drops as the real one does.

    `strict`: like some models' templates, it takes one system message, and first, and then user
    and assistant by turns. `systems`: how many system messages a strict one takes, one or none.
    """

    def __init__(self, *, strict: bool = False, systems: int = 1) -> None:
        self.requests: list[FitRequest] = []
        self._vocabulary = _Vocabulary(strict=strict, systems=systems)

    async def fit(self, request: FitRequest) -> Fitted:
        self.requests.append(request)
        return Fitter(self._vocabulary, request).fit()

    def text(self, ids: Sequence[int]) -> str:
        return self._vocabulary.decode(ids)

    def messages(self, ids: Sequence[int]) -> list[str]:
        """Role and text of each message of a prompt, white space made single."""
        found = re.findall(r"<(\w+)> (.*?)</>", self.text(ids))
        return [f"{role}: {text.strip()}" for role, text in found]


class _Vocabulary:
    """The tokenizer's `Model`."""

    def __init__(self, *, strict: bool, systems: int) -> None:
        self._strict = strict
        self._systems = systems
        self._ids: dict[str, int] = {}

    def prompt(
        self, messages: Sequence[TemplateMessage], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> list[int]:
        if self._strict:
            _refuse(messages, self._systems)
        rendered = [f"<tool {tool.name}>" for tool in tools]
        rendered += [_rendered(message) for message in messages]
        return self.encode(" ".join([*rendered, "<assistant>"]))

    def tokens(self, message: TemplateMessage) -> int:
        return len(_rendered(message).split())

    def encode(self, text: str) -> list[int]:
        return [self._ids.setdefault(word, len(self._ids)) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        words = list(self._ids)
        return " ".join(words[number] for number in ids)


def _rendered(message: TemplateMessage) -> str:
    calls = (f"{call.id}:{call.name}({call.arguments})" for call in message.tool_calls)
    text = message.text
    for place in reversed(message.pictures):
        text = f"{text[:place]} <picture> {text[place:]}"
    parts = (message.tool_call_id, message.reasoning, text, *calls)
    return " ".join([f"<{message.role}>", *filter(None, parts), "</>"])


def _refuse(messages: Sequence[TemplateMessage], systems: int) -> None:
    roles = [message.role for message in messages if message.role is not Role.TOOL]
    instructing = (Role.SYSTEM, Role.DEVELOPER)
    if any(role in instructing for role in roles[systems:]):
        raise TemplateRefused("the system speaks first")
    spoken = [role for role in roles if role not in instructing]
    if any(role is following for role, following in pairwise(spoken)):
        raise TemplateRefused("the roles do not alternate")


class FactMemory:
    """A `Memory` with one person's facts; a fact is found when it shares a word with the query."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self.erasures: list[Erasure] = []
        self.asked: list[tuple[Scope, str, tuple[str, ...]]] = []

    def keep(self, fact_id: str, text: str, kind: Kind = Kind.FACT, at: int = 0) -> None:
        self.facts[fact_id] = Fact(fact_id, text, kind, at, at)

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        self.asked.append((scope, query, tuple(fact_ids)))
        words = set(query.lower().split())
        facts = [fact for fact in self.facts.values() if fact.kind is Kind.FACT]
        return Recollection(
            preferences=[f for f in self.facts.values() if f.kind is Kind.PREFERENCE],
            named=[self.facts[fact_id] for fact_id in fact_ids if fact_id in self.facts],
            found=[fact for fact in facts if words & set(fact.text.lower().split())],
        )

    async def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        """Only those that are over; then it waits for ever."""
        for erasure in self.erasures:
            if erasure.number > after:
                yield erasure
        await asyncio.Event().wait()


class FailingMemory(FactMemory):
    """Nobody is there to answer."""

    def __init__(self, error: MeshError) -> None:
        super().__init__()
        self._error = error

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        raise self._error


class Writer:
    """An `Inference` that writes what it is told, or fails, or never comes to an end."""

    def __init__(self, text: str = "They spoke.") -> None:
        self.text = text
        self.error: MeshError | None = None
        self.hangs = False
        self.generations: list[Generation] = []
        self.closed = asyncio.Event()

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.generations.append(generation)
        try:
            if self.error:
                raise self.error
            if self.hangs:
                await asyncio.Event().wait()
            middle = len(self.text) // 2
            for text in (self.text[:middle], self.text[middle:]):
                yield Piece((Delta(0, text=text),))
        finally:
            self.closed.set()


@dataclass(slots=True)
class Desk:
    """An assembler and all that it stands on."""

    store: TurnStore
    memory: Memory = field(default_factory=FactMemory)
    tokenizer: Tokenizer = field(default_factory=WordTokenizer)
    writer: Writer = field(default_factory=Writer)

    def assembler(self, *, summary_seconds: float = 5, query_chars: int = 100) -> Assembler:
        written = summariser(self.writer, self.tokenizer, seconds=summary_seconds)
        return Assembler(
            self.store,
            Recaller(self.memory, query_chars=query_chars),
            Trimmer(self.tokenizer),
            Compactor(self.store, written),
            max_summary_tokens=16,
        )


def summariser(
    writer: Writer, tokenizer: Tokenizer | None = None, *, seconds: float = 5
) -> ModelSummariser:
    return ModelSummariser(
        tokenizer or WordTokenizer(), writer, lambda: "summary_1", max_tokens=16, seconds=seconds
    )


def asked(text: str, **changed: object) -> Assembly:
    """What a user's next message makes of a turn."""
    assembly = Assembly(
        scope=SCOPE, model=PLAIN, input=[user(text)], output_tokens=20, reads_memory=True
    )
    return replace(assembly, **changed)  # type: ignore[arg-type]


def recorded(
    turn_id: str,
    parent_id: str = "",
    said: Sequence[Item] = (),
    answered: Sequence[Item] = (),
    memory_ids: Sequence[str] = (),
    *,
    kept_ids: KeptIds | None = None,
) -> Turn:
    return Turn(
        id=turn_id,
        scope=SCOPE,
        parent_id=parent_id,
        created_at_ms=1_700_000_000_000,
        input=list(said) or [user(f"question {turn_id}")],
        output=list(answered) or [assistant(f"answer {turn_id}")],
        memory_ids=list(memory_ids),
        document='{"model": "plain"}',
        kept_ids=kept_ids,
    )


def user(text: str) -> Message:
    return said(f"msg_{text[:8]}", Role.USER, text)


def sent(role: Role, *parts: str | Part) -> Message:
    return Message(f"msg_{role}", role, made_of(*parts))


def made_of(*parts: str | Part) -> Parts:
    """A string is a text."""
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


def assistant(text: str) -> Message:
    return said(f"msg_{text[:8]}", Role.ASSISTANT, text)


def developer(text: str) -> Message:
    return said(f"msg_{text[:8]}", Role.DEVELOPER, text)


def call(call_id: str, output: str | None = None, *, parallel: bool = False) -> Call:
    """A call that the mesh ran when there is an output, else a caller's."""
    return Call(
        id=f"fc_{call_id}",
        call_id=call_id,
        name="look_up",
        arguments="{}",
        run_by=RunBy.CALLER if output is None else RunBy.MESH,
        outcome=None if output is None else CallOutcome((Text(output),)),
        parallel=parallel,
    )


def result(call_id: str, *parts: str | Part) -> CallResult:
    return CallResult(f"fco_{call_id}", call_id, made_of(*parts or ("found",)))

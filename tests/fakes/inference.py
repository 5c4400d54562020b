"""An engine that says what it is told to: a `Backend` without a model, with a real tokenizer.

    def rule(prompt: str) -> Script:
        return Script("<tool_call>...") if "weather" in prompt else Script("Hello.")

    backend = ScriptedBackend(directory, rule)

It generates token by token as fast as it is read, stops where a script says so until it is
released, can be killed, and counts generations. `ScriptedDialect` reads Hermes' calls without
vLLM, so that a mesh can run where neither vLLM nor torch is installed.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from services.inference.api import (
    CallDelta,
    Delta,
    EngineDead,
    FinishReason,
    Generation,
    ModelCard,
    TokenLogprob,
)
from services.inference.engine import Engine, EngineLimits
from services.inference.generation_queue import QueueLimits
from services.inference.ports import HeldCalls, Occupancy, Output, OutputReader, ReadOutput
from services.shared.tools import TextInput, TextSyntax, ToolMode
from tests.fakes.tiny_model import END


@dataclass(frozen=True, slots=True)
class Script:
    """One reply. After `hold_after` tokens it waits until the backend is released."""

    text: str
    hold_after: int | None = None
    # After so many tokens the generation fails.
    fail_after: int | None = None
    failure: Exception | None = None


# What one picture takes of the model's window.
PICTURE_TOKENS = 16
Rule = Callable[[str], Script]


class ScriptedBackend:
    """What is said is decided by a rule on the prompt's text."""

    def __init__(self, directory: Path, rule: Rule, *, end: str = END) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._end = _id(self._tokenizer, end)
        self._rule = rule
        self._listener: Callable[[], None] = lambda: None
        self._released = asyncio.Event()
        self._dead = asyncio.Event()
        # Set while a generation waits where its script says so.
        self.holding = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.running = 0
        self.finished = 0
        self.aborted = 0
        self.asked: list[Generation] = []
        self.intervals: list[int] = []

    @property
    def alive(self) -> bool:
        return not self._dead.is_set()

    def occupancy(self) -> Occupancy:
        return Occupancy(self.running, kv_cache_use=min(self.running / 10, 1))

    def listen(self, stepped: Callable[[], None]) -> None:
        self._listener = stepped

    def release(self) -> None:
        """Lets what holds, or will, go on."""
        self._released.set()

    def hold(self) -> None:
        """From now on scripts that hold do so, until `release`."""
        self._released.clear()
        self.holding.clear()

    def step(self) -> None:
        """A sign of life without a token."""
        self._listener()

    def die(self) -> None:
        self._dead.set()
        self.step()

    async def kill(self) -> None:
        self.die()

    async def pause(self, script: Script, said: str) -> None:
        """Between two outputs others run, as they do beside a real engine.

        `said` is the reply with the next one.
        """
        await asyncio.sleep(0)

    def ids(self, text: str) -> list[int]:
        """As this model writes `text`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    async def generate(
        self, generation: Generation, request: object, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        self.asked.append(generation)
        self.intervals.append(stream_interval)
        prompt: str = self._tokenizer.decode(generation.prompt_ids, skip_special_tokens=False)
        script = self._rule(prompt)
        said = ""
        self._entered()
        try:
            for number, deltas in enumerate(self._steps(generation, script, stream_interval)):
                said += deltas[0].text
                await self._next_output(script, number, said)
                yield Output(deltas, prompt_tokens=_prompt_tokens(generation), cached_tokens=0)
            self.finished += 1
        except GeneratorExit:
            self.aborted += 1
            raise
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self._left()

    def _entered(self) -> None:
        self.running += 1
        self.idle.clear()
        self.step()

    def _left(self) -> None:
        self.running -= 1
        if not self.running:
            self.idle.set()
        self.step()

    async def _next_output(self, script: Script, number: int, said: str) -> None:
        if number == script.fail_after:
            raise script.failure or EngineDead("the engine has died")
        if number == script.hold_after:
            self.holding.set()
            await self._unless_dead(self._released)
        await self.pause(script, said)
        if self._dead.is_set():
            raise EngineDead("the engine has died")
        self.step()

    async def _unless_dead(self, event: asyncio.Event) -> None:
        waiting = [asyncio.ensure_future(e.wait()) for e in (event, self._dead)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _steps(
        self, generation: Generation, script: Script, interval: int
    ) -> Iterator[tuple[Delta, ...]]:
        """All choices say the same, side by side; the first token comes alone."""
        tokens = self._tokens(generation, script)
        start, size = 0, 1
        while start < len(tokens):
            piece = tokens[start : start + size]
            yield tuple(_merged(piece, index) for index in range(generation.sampling.n))
            start, size = start + size, interval

    def _tokens(self, generation: Generation, script: Script) -> list[Delta]:
        """The reply to its end, its limit or a stop string, a token each."""
        limit = generation.sampling.max_tokens
        stream = DecodeStream(skip_special_tokens=not generation.calling.tools)
        tokens: list[Delta] = []
        text = ""
        for id in [*self.ids(script.text), self._end]:
            piece = "" if id == self._end else stream.step(self._tokenizer, id) or ""
            text += piece
            cut = _cut(text, generation.sampling.stop)
            finish = FinishReason.STOP if cut is not None or id == self._end else None
            if finish is None and len(tokens) + 1 == limit:
                finish = FinishReason.LENGTH
            tokens.append(self._delta(generation, id, piece, finish))
            if cut is not None:
                return _shortened(tokens, cut)
            if finish is not None:
                break
        return tokens

    def _delta(
        self, generation: Generation, id: int, text: str, finish: FinishReason | None
    ) -> Delta:
        logprobs: tuple[TokenLogprob, ...] = ()
        if generation.sampling.top_logprobs is not None:
            likeliest = TokenLogprob(id, text, 0.0)
            top = (likeliest,) * min(generation.sampling.top_logprobs, 1)
            logprobs = (TokenLogprob(id, text, 0.0, top),)
        return Delta(0, (id,), text, logprobs=logprobs, finish_reason=finish)


class EagerBackend(ScriptedBackend):
    """Generates on while nobody reads, and merges what has come meanwhile, as vLLM does."""

    async def generate(
        self, generation: Generation, request: object, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        ready: list[Output] = []
        more = asyncio.Event()

        async def run_ahead() -> None:
            outputs = super(EagerBackend, self).generate(
                generation, request, stream_interval=stream_interval
            )
            try:
                async with aclosing(outputs):
                    async for output in outputs:
                        ready.append(output)
                        more.set()
            finally:
                more.set()

        running = asyncio.create_task(run_ahead())
        try:
            while not running.done() or ready:
                await more.wait()
                more.clear()
                if ready:
                    outputs, ready[:] = [*ready], []
                    yield _merged_outputs(outputs)
            await running
        finally:
            running.cancel()
            await asyncio.wait([running])


def _merged_outputs(outputs: Sequence[Output]) -> Output:
    deltas: dict[int, list[Delta]] = {}
    for output in outputs:
        for delta in output.deltas:
            deltas.setdefault(delta.index, []).append(delta)
    merged = tuple(_merged(deltas[index], index) for index in sorted(deltas))
    return replace(outputs[-1], deltas=merged)


def _prompt_tokens(generation: Generation) -> int:
    """Each picture has one place in the ids, and takes more of the window."""
    more = PICTURE_TOKENS - 1
    return len(generation.prompt_ids) + more * len(generation.pictures)


def _id(tokenizer: Tokenizer, token: str) -> int:
    id: int | None = tokenizer.token_to_id(token)
    if id is None:
        raise ValueError(f"{token} is not a token of this model")
    return id


def _cut(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string begins."""
    return min((text.index(string) for string in stop if string in text), default=None)


def _shortened(tokens: Sequence[Delta], length: int) -> list[Delta]:
    """The same tokens with only the first `length` characters of their text."""
    short = []
    for token in tokens:
        short.append(_merged([token], 0, token.text[: max(length, 0)]))
        length -= len(token.text)
    return short


def _merged(tokens: Sequence[Delta], index: int, text: str | None = None) -> Delta:
    return Delta(
        index,
        ids=[id for token in tokens for id in token.ids],
        text="".join(token.text for token in tokens) if text is None else text,
        logprobs=tuple(logprob for token in tokens for logprob in token.logprobs),
        finish_reason=tokens[-1].finish_reason,
    )


class ScriptedDialect:
    """Reads Hermes' calls, whole ones only. A request is the generation itself."""

    def __init__(self, directory: Path, *, end: str = END) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._end = _id(self._tokenizer, end)

    def request(self, generation: Generation) -> Generation:
        return generation

    def reader(self, request: Generation, prompt_ids: Sequence[int]) -> OutputReader | None:
        calling = request.calling
        reads = calling.tools and calling.choice.mode is not ToolMode.NONE
        return _HermesReader() if reads else None

    def held(self, request: Generation) -> HeldCalls:
        return HeldCalls()

    def follows(self, text_input: TextInput, text: str) -> bool:
        """Of grammars it knows regular expressions only."""
        assert text_input.syntax is TextSyntax.REGEX
        return re.fullmatch(text_input.grammar, text) is not None

    def decode(self, request: Generation, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        kept = [id for id in ids if id != self._end]
        text: str = self._tokenizer.decode(kept, skip_special_tokens=not request.calling.tools)
        return text[: _cut(text, request.sampling.stop)]


class _HermesReader:
    """Gives a call when its closing mark has come. As in vLLM, text after a call is left out."""

    _call = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
    _opening = "<tool_call>"

    def __init__(self) -> None:
        self._text = ""
        self._said = 0
        self._calls = 0

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        self._text += text
        calls = self._call.findall(self._text)
        deltas = [
            CallDelta(number, json.loads(call)["name"], self._arguments(call))
            for number, call in enumerate(calls[self._calls :], self._calls)
        ]
        self._calls = len(calls)
        broken = finished and self._text.count(self._opening) > self._calls
        return ReadOutput(self._new_text(finished=finished), calls=tuple(deltas), broken=broken)

    @staticmethod
    def _arguments(call: str) -> str:
        """As the model wrote them: they are what stands last in a call."""
        return call.partition('"arguments":')[2].strip()[:-1]

    def reasoning_tokens(self) -> int:
        return 0

    def _new_text(self, *, finished: bool) -> str:
        end = self._text.find(self._opening)
        if end < 0:
            end = len(self._text) if finished else self._safe()
        text = self._text[self._said : end]
        self._said = max(self._said, end)
        return text

    def _safe(self) -> int:
        """How much of the text cannot be the beginning of a call."""
        for size in range(min(len(self._opening), len(self._text)), 0, -1):
            if self._opening.startswith(self._text[-size:]):
                return len(self._text) - size
        return len(self._text)


CARD = ModelCard(
    id="scripted",
    context_tokens=4096,
    calls_tools=True,
    reasons=False,
    summarises=False,
    created_at=0,
)
LIMITS = EngineLimits(
    queue=QueueLimits(max_waiting=64, max_waiting_tokens=100_000),
    slots=8,
    stall_seconds=60,
    check_seconds=0.01,
)


def scripted_engine(
    directory: Path, rule: Rule, card: ModelCard = CARD
) -> tuple[Engine[Generation], ScriptedBackend]:
    """An `Inference` that needs no vLLM, and what stands behind it."""
    backend = ScriptedBackend(directory, rule)
    clock = asyncio.get_running_loop().time
    engine = Engine(backend, ScriptedDialect(directory), card, limits=LIMITS, clock=clock)
    return engine, backend

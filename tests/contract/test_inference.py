"""What inference promises, from the core and over gRPC: with vLLM's parsers and with the fake's."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.inference.api import (
    Calling,
    EngineDead,
    FinishReason,
    FormatKind,
    Generation,
    Inference,
    OutputFormat,
    ParsedCall,
    Piece,
    QueueFull,
    Report,
    Sampling,
    ToolsUnsupported,
    UnknownModel,
    UnsupportedParameter,
    Usage,
)
from services.inference.client import connect_inference
from services.inference.engine import Engine
from services.inference.generation_queue import QueueLimits
from services.inference.ports import Dialect
from services.inference.server import InferenceServer
from services.shared.boundary import Boundary
from services.shared.conversation import Picture
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tools import (
    TEXT_PARAMETERS,
    TextInput,
    TextSyntax,
    Tool,
    ToolChoice,
    ToolMode,
)
from services.shared.tracing import Tracer
from tests.fakes.inference import (
    CARD,
    LIMITS,
    PICTURE_TOKENS,
    Script,
    ScriptedBackend,
    ScriptedDialect,
)
from tests.fakes.inference_pieces import calls_of, deltas_of, finish_of, ids_of, read_whole, text_of
from tests.fakes.tiny_model import make_model
from tests.fakes.vllm_dialect import needs_vllm, vllm_dialect

WEATHER = Tool("weather", "the weather", '{"type": "object"}')
CALLING = Calling(tools=(WEATHER,))
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Óbidos"}}\n</tool_call>'
TWO_CALLS = f"Let me see.\n{CALL}\n{CALL.replace('Óbidos', 'Rome')}"
# What the prompt says decides what the engine says.
SCRIPTS = {
    "broken": Script(CALL.replace("}}", '"')),
    "repeated": Script(CALL.replace("Óbidos", 'Rome", "city": "Oslo')),
    "not offered": Script(CALL.replace("weather", "tide")),
    "wrong": Script(CALL.replace('"Óbidos"', "7")),
    "one of two": Script(f"{CALL}\n{CALL.replace('weather', 'tide')}"),
    "text": Script('<tool_call>\n{"name": "run", "arguments": {"input": "ls\\t-l"}}\n</tool_call>'),
    "hello": Script("Hello, the weather is sunny! 🌞"),
    "call": Script(TWO_CALLS),
    "callLet me": Script(TWO_CALLS.removeprefix("Let me")),
    "hold": Script("It is sunny and warm today.", hold_after=2),
    "hold at once": Script("It is sunny.", hold_after=0),
    "die": Script("It is sunny.", fail_after=2),
}


@dataclass(slots=True)
class ServedInference:
    """An inference, and what stands behind it."""

    inference: Inference
    backend: ScriptedBackend
    engine: Engine[Any]
    held: list[asyncio.Task[list[Piece]]] = field(default_factory=list)

    def asks(self, prompt: str, sampling: Sampling | None = None, **more: Any) -> Generation:
        ids = self.backend.ids(prompt)
        return Generation(CARD.id, "gen_1", ids, sampling or Sampling(), **more)

    async def collect(self, generation: Generation) -> list[Piece]:
        async with aclosing(self.inference.generate(generation)) as pieces:
            return [piece async for piece in pieces]

    async def hold(self, prompt: str) -> None:
        """A generation that runs until the backend is released."""
        self.held.append(asyncio.create_task(self.collect(self.asks(prompt))))
        await asyncio.wait_for(self.backend.holding.wait(), 5)

    async def let_go(self) -> None:
        self.backend.release()
        await asyncio.wait_for(asyncio.gather(*self.held), 5)


Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(
    params=[
        "direct",
        "over gRPC",
        pytest.param("direct, vLLM's parsers", marks=needs_vllm),
        pytest.param("over gRPC, vLLM's parsers", marks=needs_vllm),
    ]
)
async def serve(request: pytest.FixtureRequest, model: Path) -> AsyncIterator[Serve]:
    """Makes an inference; keywords replace what is in its card or limits.

    The scripted backend heeds no grammar. Without one its calls are not taken for held.
    """
    kind: str = request.param
    async with AsyncExitStack() as stack:

        async def made(
            *, limits: QueueLimits | None = None, grammar: bool = True, **card: Any
        ) -> ServedInference:
            dialect: Dialect[Any] = ScriptedDialect(model)
            if "vLLM" in kind:
                dialect = vllm_dialect(model, tool_strict_level="parameter" if grammar else "auto")
            backend = ScriptedBackend(model, SCRIPTS.__getitem__)
            engine = Engine(
                backend,
                dialect,
                replace(CARD, **card),
                limits=replace(LIMITS, queue=limits or LIMITS.queue),
                clock=asyncio.get_running_loop().time,
            )
            if kind.startswith("direct"):
                return ServedInference(engine, backend, engine)
            tracer = Tracer("test", otlp_endpoint="", sample_ratio=1)
            boundary = Boundary("inference", tracer, RpcMetrics(CollectorRegistry()))
            port = await stack.enter_async_context(
                serving([InferenceServer(engine)], "localhost:0", grace=0, interceptors=[boundary])
            )
            client = await stack.enter_async_context(
                connect_inference(f"localhost:{port}", timeout=10)
            )
            return ServedInference(client, backend, engine)

        yield made


async def test_the_pieces_are_the_reply_and_end_with_why_and_what_it_cost(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("hello"))
    assert text_of(pieces) == "Hello, the weather is sunny! 🌞"
    ids = ids_of(pieces)
    assert ids[:-1] == served.backend.ids("Hello, the weather is sunny! 🌞")
    assert [d.finish_reason for d in deltas_of(pieces) if d.finish_reason] == [FinishReason.STOP]
    assert [piece.usage for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    prompt = served.backend.ids("hello")
    assert pieces[-1].usage == Usage(prompt_tokens=len(prompt), completion_tokens=len(ids))


async def test_the_first_token_comes_alone(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("hello"))
    assert len(pieces[0].deltas[0].ids) == 1


async def test_a_limit_ends_the_reply(serve: Serve) -> None:
    served = await serve()
    asked = served.asks("hello", Sampling(max_tokens=3))
    last = (await served.collect(asked))[-1]
    assert last.deltas[-1].finish_reason is FinishReason.LENGTH
    assert last.usage == Usage(prompt_tokens=len(asked.prompt_ids), completion_tokens=3)


async def test_a_stop_string_ends_the_reply_before_it(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("hello", Sampling(stop=("sunny", "never"))))
    assert text_of(pieces) == "Hello, the weather is "
    assert deltas_of(pieces)[-1].finish_reason is FinishReason.STOP


async def test_every_choice_is_told_apart_and_counted(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("hello", Sampling(n=3)))
    assert {text_of(pieces, index) for index in range(3)} == {"Hello, the weather is sunny! 🌞"}
    ends = [d for piece in pieces for d in piece.deltas if d.finish_reason is not None]
    assert sorted(delta.index for delta in ends) == [0, 1, 2]
    assert pieces[-1].usage is not None
    ids = sum(len(delta.ids) for piece in pieces for delta in piece.deltas)
    assert pieces[-1].usage.completion_tokens == ids


async def test_calls_are_told_from_the_text_before_them(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("call", calling=CALLING))
    read = read_whole(pieces)
    assert read.text.strip() == "Let me see."
    assert [call.name for call in read.calls] == ["weather", "weather"]
    assert [json.loads(call.arguments)["city"] for call in read.calls] == ["Óbidos", "Rome"]
    assert deltas_of(pieces)[-1].finish_reason is FinishReason.TOOL_CALLS


async def test_what_another_replica_began_is_gone_on_with(serve: Serve) -> None:
    """The calls below it are read, and what it had said already is not said again."""
    served = await serve()
    whole = await served.collect(served.asks("call", calling=CALLING))
    begun = len(served.backend.ids("Let me"))
    rest = await served.collect(served.asks("callLet me", calling=CALLING, begun_tokens=begun))
    assert "Let me" + text_of(rest) == text_of(whole)
    assert calls_of(rest) == calls_of(whole)
    assert finish_of(rest) is finish_of(whole) is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": Sampling(n=2)},
        {"format": OutputFormat(FormatKind.JSON_OBJECT)},
        {"begun_tokens": 10_000},
    ],
    ids=["choices", "a format", "more than there are"],
)
async def test_what_cannot_be_gone_on_with_is_refused(
    serve: Serve, changes: dict[str, Any]
) -> None:
    served = await serve()
    asked = served.asks("hello hello", **{"begun_tokens": 1, **changes})
    with pytest.raises(UnsupportedParameter) as refused:
        await served.collect(asked)
    assert refused.value.details["param"] == "begun_tokens"


async def test_a_call_begins_with_its_name_said_once(serve: Serve) -> None:
    served = await serve()
    calls = calls_of(await served.collect(served.asks("call", calling=CALLING)))
    for index in (0, 1):
        names = [call.name for call in calls if call.index == index]
        assert names[0] == "weather"
        assert not any(names[1:])


async def test_without_tools_a_call_is_text(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("call"))
    assert text_of(pieces) == TWO_CALLS
    assert deltas_of(pieces)[-1].finish_reason is FinishReason.STOP


async def test_a_call_that_may_not_be_made_is_text(serve: Serve) -> None:
    served = await serve()
    none = Calling((WEATHER,), ToolChoice(ToolMode.NONE))
    pieces = await served.collect(served.asks("call", calling=none))
    assert text_of(pieces) == TWO_CALLS
    assert not calls_of(pieces)


CITY = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'


@pytest.mark.parametrize("prompt", ["broken", "repeated", "not offered", "wrong"])
async def test_what_is_no_call_never_leaves_and_is_told(serve: Serve, prompt: str) -> None:
    served = await serve(grammar=False)
    calling = Calling((replace(WEATHER, parameters=CITY),))
    asked = served.asks(prompt, calling=calling)
    pieces = await served.collect(asked)
    assert not calls_of(pieces)
    assert finish_of(pieces) is FinishReason.INVALID_CALL
    parsed = await served.inference.parse(CARD.id, asked.prompt_ids, ids_of(pieces), calling)
    assert parsed == read_whole(pieces)


async def test_a_call_before_what_is_none_leaves(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("one of two", calling=CALLING))
    assert [call.name for call in read_whole(pieces).calls] == ["weather"]
    assert finish_of(pieces) is FinishReason.INVALID_CALL


async def test_a_call_that_a_stop_string_ends_is_none(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("call", Sampling(stop=("bidos",)), calling=CALLING))
    assert not calls_of(pieces)
    assert finish_of(pieces) is FinishReason.INVALID_CALL


@pytest.mark.parametrize(("pattern", "allowed"), [("ls.-l", True), ("rm.*", False)])
async def test_of_a_tool_that_takes_a_text_the_text_leaves(
    serve: Serve, pattern: str, allowed: bool
) -> None:
    served = await serve(grammar=False)
    text_input = TextInput(TextSyntax.REGEX, pattern)
    run = Tool("run", "", TEXT_PARAMETERS, text_input=text_input)
    calling = Calling((run,))
    asked = served.asks("text", calling=calling)
    pieces = await served.collect(asked)
    read = read_whole(pieces)
    assert read.calls == ((ParsedCall("run", "ls\t-l"),) if allowed else ())
    assert (finish_of(pieces) is FinishReason.TOOL_CALLS) is allowed
    parsed = await served.inference.parse(CARD.id, asked.prompt_ids, ids_of(pieces), calling)
    assert parsed == read


async def test_a_log_probability_comes_with_every_token_when_asked_for(serve: Serve) -> None:
    served = await serve()
    pieces = await served.collect(served.asks("hello", Sampling(top_logprobs=1)))
    deltas = deltas_of(pieces)
    ids = ids_of(pieces)
    assert [logprob.id for delta in deltas for logprob in delta.logprobs] == ids
    assert all(logprob.top for delta in deltas for logprob in delta.logprobs)


@pytest.mark.parametrize(
    ("prompt", "stop", "calling"),
    [("hello", (), Calling()), ("hello", ("sunny",), Calling()), ("call", (), CALLING)],
)
async def test_parsing_the_ids_gives_what_was_streamed(
    serve: Serve, prompt: str, stop: tuple[str, ...], calling: Calling
) -> None:
    served = await serve()
    asked = served.asks(prompt, Sampling(stop=stop), calling=calling)
    pieces = await served.collect(asked)
    ids = ids_of(pieces)
    parsed = await served.inference.parse(CARD.id, asked.prompt_ids, ids, calling, stop)
    assert parsed == read_whole(pieces)


async def test_an_unknown_model_is_not_found(serve: Serve) -> None:
    served = await serve()
    asked = replace(served.asks("hello"), model="other")
    with pytest.raises(UnknownModel):
        await served.collect(asked)
    with pytest.raises(UnknownModel):
        await served.inference.parse("other", [1], [1], Calling())


async def test_tools_are_refused_where_no_parser_is_known(serve: Serve) -> None:
    served = await serve(calls_tools=False)
    with pytest.raises(ToolsUnsupported) as caught:
        await served.collect(served.asks("call", calling=CALLING))
    assert caught.value.details == {"param": "tools"}


async def test_pictures_come_to_the_engine_with_the_ids(serve: Serve) -> None:
    served = await serve(sees=True)
    pictures = (Picture("image/png", b"\x89PNG\0", detail="low"), Picture("image/jpeg", b"\xff"))
    asked = served.asks("hello", pictures=pictures)
    pieces = await served.collect(asked)
    (arrived,) = served.backend.asked
    assert arrived.pictures == pictures
    assert arrived.prompt_ids == asked.prompt_ids
    assert text_of(pieces) == "Hello, the weather is sunny! 🌞"


async def test_what_pictures_take_of_the_window_is_counted(serve: Serve) -> None:
    served = await serve(sees=True)
    asked = served.asks("hello", pictures=(Picture("image/png", b"1"),))
    last = (await served.collect(asked))[-1]
    assert last.usage
    assert last.usage.prompt_tokens == len(asked.prompt_ids) - 1 + PICTURE_TOKENS


async def test_pictures_are_refused_where_the_model_does_not_see(serve: Serve) -> None:
    served = await serve()
    with pytest.raises(UnsupportedParameter) as caught:
        await served.collect(served.asks("hello", pictures=(Picture("image/png", b"1"),)))
    assert caught.value.details == {"param": "pictures"}
    assert not served.backend.asked


@pytest.mark.parametrize("sees", [True, False])
async def test_the_card_tells_whether_the_model_sees(serve: Serve, sees: bool) -> None:
    served = await serve(sees=sees)
    async with aclosing(served.inference.watch_load()) as reports:
        (card,) = (await anext(reports)).models
    assert card == replace(CARD, sees=sees)


@pytest.mark.parametrize("length", [0, CARD.context_tokens])
async def test_a_prompt_that_leaves_no_room_is_refused(serve: Serve, length: int) -> None:
    served = await serve()
    asked = replace(served.asks("hello"), prompt_ids=[5] * length)
    with pytest.raises(UnsupportedParameter) as caught:
        await served.collect(asked)
    assert caught.value.details == {"param": "prompt_ids", "code": "context_length_exceeded"}


async def test_leaving_aborts_the_generation(serve: Serve) -> None:
    served = await serve()
    async with aclosing(served.inference.generate(served.asks("hold"))) as pieces:
        await anext(pieces)
        assert served.backend.running == 1
    await asyncio.wait_for(served.backend.idle.wait(), 5)
    assert (served.backend.aborted, served.backend.finished) == (1, 0)


async def test_cancelling_the_caller_aborts_the_generation(serve: Serve) -> None:
    served = await serve()
    await served.hold("hold")
    served.held[0].cancel()
    await asyncio.wait_for(served.backend.idle.wait(), 5)
    assert served.backend.aborted == 1


async def test_a_full_queue_says_when_to_come_again(serve: Serve) -> None:
    served = await serve(limits=QueueLimits(max_waiting=1, max_waiting_tokens=1000))
    await served.hold("hold at once")
    with pytest.raises(QueueFull) as caught:
        await served.collect(served.asks("hello"))
    assert 1 <= int(caught.value.details["retry_after"]) <= 60
    await served.let_go()
    assert text_of(await served.collect(served.asks("hello")))


async def test_the_prompts_that_wait_are_bounded_in_tokens(serve: Serve) -> None:
    served = await serve(limits=QueueLimits(max_waiting=9, max_waiting_tokens=10))
    await served.hold("hold at once")
    with pytest.raises(QueueFull):
        await served.collect(served.asks("hello"))
    await served.let_go()


async def test_a_draining_replica_ends_what_runs_and_serves_what_still_comes(serve: Serve) -> None:
    served = await serve()
    await served.hold("hold")
    served.engine.drain()
    assert text_of(await served.collect(served.asks("hello")))
    await served.let_go()
    assert text_of(served.held[0].result()) == "It is sunny and warm today."


async def test_a_dying_engine_is_told_as_such(serve: Serve) -> None:
    served = await serve()
    with pytest.raises(EngineDead):
        await served.collect(served.asks("die"))


async def test_a_dead_engine_takes_nothing(serve: Serve) -> None:
    served = await serve()
    served.backend.die()
    with pytest.raises(EngineDead):
        await served.collect(served.asks("hello"))


async def test_the_load_is_told_at_once_and_when_it_changes(serve: Serve) -> None:
    served = await serve()
    async with aclosing(served.inference.watch_load()) as reports:
        first = await anext(reports)
        assert [model.id for model in first.models] == [CARD.id]
        assert (first.load.running, first.load.slots) == (0, LIMITS.slots)
        await served.hold("hold")
        assert (await until(reports, running=1)).load.waiting == 0
        await served.let_go()
        await until(reports, running=0)


async def test_what_waits_is_in_the_load(serve: Serve) -> None:
    served = await serve()
    await served.hold("hold at once")
    async with aclosing(served.inference.watch_load()) as reports:
        load = (await anext(reports)).load
    assert load.waiting_tokens == len(served.backend.ids("hold at once"))
    await served.let_go()


async def test_watching_ends_when_the_replica_has_drained(serve: Serve) -> None:
    served = await serve()
    await served.hold("hold")
    async with aclosing(served.inference.watch_load()) as reports:
        await anext(reports)
        served.engine.drain()
        assert (await until(reports, running=1)).load.draining
        await served.let_go()
        rest = [report async for report in reports]
    assert rest[-1].load.running == 0
    assert rest[-1].load.draining


async def until(reports: AsyncGenerator[Report, None], *, running: int) -> Report:
    async with asyncio.timeout(5):
        async for report in reports:
            if report.load.running == running:
                return report
    raise AssertionError("the reports ended")

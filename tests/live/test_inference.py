"""The real vLLM, on a tiny model of noise: what it must do whatever it says."""

import asyncio
import json
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tokenizers import Tokenizer

from services.inference.adapters.served_model import ServedModel
from services.inference.adapters.vllm_start import started
from services.inference.api import (
    CallDelta,
    Calling,
    EngineDead,
    FinishReason,
    FormatKind,
    Generation,
    ModelCard,
    OutputFormat,
    ParsedCall,
    Piece,
    Sampling,
    UnsupportedParameter,
)
from services.inference.config import InferenceConfig
from services.inference.engine import Engine, EngineLimits
from services.inference.generation_queue import QueueLimits
from services.shared.conversation import Picture
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.contract.inference_backend import BackendAtWork, BackendPromises
from tests.fakes.inference_pieces import deltas_of, finish_of, ids_of, text_of
from tests.fakes.tiny_model import make_model
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = list(needs_vllm)
SLOTS = 2
FORECAST = """{"type": "object", "additionalProperties": false, "required": ["sunny", "city"],
"properties": {"sunny": {"type": "boolean"}, "city": {"enum": ["Rome", "Paris"]}}}"""
WEATHER = Tool("weather", "the weather", FORECAST, strict=True)
HOT = Sampling(max_tokens=24, temperature=1, seed=7)


@dataclass(slots=True)
class Live:
    """An engine that runs, and what it is asked with."""

    engine: Engine[Any]
    served: ServedModel
    tokenizer: Tokenizer
    asked: int = 0

    def asks(
        self, prompt: str = "the weather is", sampling: Sampling = HOT, **more: Any
    ) -> Generation:
        self.asked += 1
        ids = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        return Generation("noise", f"gen_{self.asked}", ids, sampling, **more)

    async def collect(self, generation: Generation) -> list[Piece]:
        async with aclosing(self.engine.generate(generation)) as pieces:
            return [piece async for piece in pieces]


@pytest.fixture(scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    directory = make_model(tmp_path_factory.mktemp("noise"), weights=True)
    config = InferenceConfig(
        model=str(directory),
        served_name="noise",
        cpu_kv_cache_gib=0.25,
        tool_parser="hermes",
        # Nothing is compiled: the tests are short and the start would be long.
        engine_args={
            "max_num_seqs": SLOTS,
            "enforce_eager": True,
        },
    )
    async with started(config) as served:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        yield Live(engine_of(served), served, tokenizer)


def engine_of(served: ServedModel) -> Engine[Any]:
    card = ModelCard(
        id="noise",
        context_tokens=served.context_tokens,
        calls_tools=True,
        reasons=False,
        summarises=False,
        created_at=0,
        sees=served.sees,
    )
    limits = EngineLimits(
        QueueLimits(64, 100_000), served.slots, stall_seconds=60, check_seconds=0.05
    )
    return Engine(served.backend, served.dialect, card, limits=limits, clock=time.monotonic)


@pytest.fixture
def at_work(live: Live) -> Iterator[BackendAtWork]:
    sampling = replace(HOT, logit_bias=never(live))
    served = live.served
    yield BackendAtWork(served.backend, served.dialect, live.asks().prompt_ids, sampling)
    # A test may have taken the backend's steps for itself; an engine takes them back.
    live.engine = engine_of(served)


class TestVllmBackend(BackendPromises):
    """The promises of inference's port, kept by vLLM."""


def never(live: Live, token: str = "<|im_end|>") -> dict[int, float]:
    """The bias that keeps a reply going."""
    return {id_of(live, token): -100.0}


def id_of(live: Live, token: str) -> int:
    id = live.tokenizer.token_to_id(token)
    assert id is not None
    return id


async def test_streams_its_tokens_and_their_text(live: Live) -> None:
    sampling = replace(HOT, logit_bias=never(live))
    pieces = await live.collect(live.asks(sampling=sampling))
    assert len(pieces[0].deltas[0].ids) == 1
    assert len(pieces) > 1
    whole = live.tokenizer.decode(ids_of(pieces), skip_special_tokens=True)
    # Noise may end in half a character, which is not shown.
    assert text_of(pieces).rstrip("\ufffd") == whole.rstrip("\ufffd")
    assert finish_of(pieces) is FinishReason.LENGTH
    usage = pieces[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(live.asks().prompt_ids), 24)


async def test_the_same_seed_says_the_same(live: Live) -> None:
    first = ids_of(await live.collect(live.asks()))
    assert first == ids_of(await live.collect(live.asks()))
    assert first != ids_of(await live.collect(live.asks(sampling=replace(HOT, seed=8))))


async def test_a_stop_string_ends_the_text_before_it(live: Live) -> None:
    sampling = replace(HOT, logit_bias=never(live))
    whole = text_of(await live.collect(live.asks(sampling=sampling)))
    stop = whole[len(whole) // 2 :][:3]
    stopped = await live.collect(live.asks(sampling=replace(sampling, stop=(stop,))))
    assert text_of(stopped) == whole[: whole.index(stop)]
    assert finish_of(stopped) is FinishReason.STOP


async def test_a_bias_decides(live: Live) -> None:
    token = id_of(live, "<think>")
    sampling = Sampling(max_tokens=5, temperature=1, logit_bias={token: 100.0})
    assert ids_of(await live.collect(live.asks(sampling=sampling))) == [token] * 5


async def test_several_choices_differ_and_are_all_counted(live: Live) -> None:
    pieces = await live.collect(live.asks(sampling=replace(HOT, n=3)))
    replies = [ids_of(pieces, index) for index in range(3)]
    assert len({tuple(reply) for reply in replies}) == 3
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.completion_tokens == sum(map(len, replies))


async def test_a_schema_is_followed(live: Live) -> None:
    output = OutputFormat(FormatKind.JSON_SCHEMA, FORECAST)
    sampling = Sampling(max_tokens=300, temperature=1)
    replies = await asyncio.gather(
        *(live.collect(live.asks(sampling=sampling, format=output)) for _ in range(4))
    )
    for pieces in replies:
        assert finish_of(pieces) is FinishReason.STOP
        said = json.loads(text_of(pieces))
        assert isinstance(said["sunny"], bool)
        assert said["city"] in {"Rome", "Paris"}


@pytest.mark.parametrize(
    "output",
    [
        OutputFormat(FormatKind.REGEX, "(sunny|warm) and (sunny|warm)"),
        OutputFormat(FormatKind.EBNF, 'root ::= word " and " word\nword ::= "sunny" | "warm"'),
    ],
    ids=["regex", "grammar"],
)
async def test_a_pattern_is_followed(live: Live, output: OutputFormat) -> None:
    said = text_of(await live.collect(live.asks(format=output))).split(" and ")
    assert len(said) == 2
    assert set(said) <= {"sunny", "warm"}


async def test_any_object_is_json(live: Live) -> None:
    # The likeliest end of what noise begins: close every string at once.
    quote, brace = (live.tokenizer.encode(c).ids[0] for c in '"}')
    sampling = Sampling(max_tokens=300, temperature=1, logit_bias={quote: 20.0, brace: 20.0})
    output = OutputFormat(FormatKind.JSON_OBJECT)
    assert isinstance(
        json.loads(text_of(await live.collect(live.asks(sampling=sampling, format=output)))), dict
    )


async def test_log_probabilities_belong_to_their_tokens(live: Live) -> None:
    pieces = await live.collect(live.asks(sampling=replace(HOT, top_logprobs=2)))
    logprobs = [logprob for delta in deltas_of(pieces) for logprob in delta.logprobs]
    assert [logprob.id for logprob in logprobs] == ids_of(pieces)
    for logprob in logprobs:
        first, second = logprob.top
        assert 0 >= first.logprob >= second.logprob
        assert first.logprob >= logprob.logprob


async def test_no_more_log_probabilities_than_asked_for(live: Live) -> None:
    pieces = await live.collect(live.asks(sampling=replace(HOT, top_logprobs=0)))
    assert all(logprob.top == () for delta in deltas_of(pieces) for logprob in delta.logprobs)
    bare = await live.collect(live.asks())
    assert not any(delta.logprobs for delta in deltas_of(bare))


@pytest.mark.parametrize(
    "choice", [ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.NAMED, "weather")]
)
async def test_a_call_that_must_be_made_is_made(live: Live, choice: ToolChoice) -> None:
    calling = Calling((WEATHER,), choice, parallel=False)
    asked = live.asks(sampling=Sampling(max_tokens=300, temperature=1), calling=calling)
    pieces = await live.collect(asked)
    assert finish_of(pieces) is FinishReason.TOOL_CALLS
    calls = [call for delta in deltas_of(pieces) for call in delta.calls]
    assert calls[0] == CallDelta(0, "weather")
    said = json.loads("".join(call.arguments for call in calls))
    assert said["city"] in {"Rome", "Paris"}
    parsed = await live.engine.parse("noise", asked.prompt_ids, ids_of(pieces), calling)
    assert parsed.calls == (ParsedCall("weather", "".join(call.arguments for call in calls)),)
    assert parsed.text == text_of(pieces)


@pytest.mark.parametrize("stop", [(), ("a",)])
async def test_parsing_the_ids_gives_what_was_streamed(live: Live, stop: tuple[str, ...]) -> None:
    for seed in range(5):
        asked = live.asks(sampling=replace(HOT, seed=seed, stop=stop))
        pieces = await live.collect(asked)
        parsed = await live.engine.parse("noise", asked.prompt_ids, ids_of(pieces), Calling(), stop)
        assert parsed.text == text_of(pieces)


async def test_without_a_limit_the_window_ends_the_reply(live: Live) -> None:
    prompt = [5] * (live.served.context_tokens - 9)
    asked = replace(
        live.asks(sampling=Sampling(temperature=1, logit_bias=never(live))), prompt_ids=prompt
    )
    pieces = await live.collect(asked)
    assert len(ids_of(pieces)) == 9
    assert finish_of(pieces) is FinishReason.LENGTH


async def test_a_limit_beyond_the_window_is_the_window(live: Live) -> None:
    sampling = Sampling(max_tokens=10_000, temperature=1, logit_bias=never(live))
    prompt = [5] * (live.served.context_tokens - 9)
    pieces = await live.collect(replace(live.asks(sampling=sampling), prompt_ids=prompt))
    assert len(ids_of(pieces)) == 9


async def test_a_prefix_is_read_once_for_each_salt(live: Live) -> None:
    async def cached(salt: str) -> int:
        asked = replace(
            live.asks(sampling=replace(HOT, max_tokens=1)), prompt_ids=prompt, cache_salt=salt
        )
        usage = (await live.collect(asked))[-1].usage
        assert usage is not None
        return usage.cached_tokens

    prompt = [number % 200 + 5 for number in range(300)]
    assert await cached("one") == 0
    assert await cached("one") >= 128
    assert await cached("two") == 0


@pytest.mark.parametrize(
    ("param", "sampling", "more"),
    [
        ("temperature", Sampling(temperature=9), {}),
        ("top_p", Sampling(top_p=0), {}),
        ("top_logprobs", Sampling(top_logprobs=1000), {}),
        ("logit_bias", Sampling(logit_bias={10**6: 1.0}), {}),
        ("format", HOT, {"format": OutputFormat(FormatKind.REGEX, "(((")}),
        ("format", HOT, {"format": OutputFormat(FormatKind.EBNF, "no grammar")}),
        ("format", HOT, {"format": OutputFormat(FormatKind.JSON_SCHEMA, '{"type": 3}')}),
        ("cache_salt", HOT, {"cache_salt": "s" * 10_000}),
    ],
)
async def test_what_the_engine_cannot_do_is_named(
    live: Live, param: str, sampling: Sampling, more: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        await live.collect(live.asks(sampling=sampling, **more))
    assert caught.value.details == {"param": param}


async def test_a_model_that_does_not_see_takes_no_pictures(live: Live) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        await live.collect(live.asks(pictures=(Picture("image/png", b"1"),)))
    assert caught.value.details == {"param": "pictures"}


async def test_tokens_of_another_model_are_refused(live: Live) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        await live.collect(replace(live.asks(), prompt_ids=[10**6]))
    assert caught.value.details == {"param": "prompt_ids"}


def endless(live: Live, priority: int = 0) -> Generation:
    sampling = Sampling(temperature=1, logit_bias=never(live))
    return replace(live.asks(sampling=sampling), priority=priority)


async def until_running(live: Live, count: int) -> None:
    async with asyncio.timeout(10), aclosing(live.engine.watch_load()) as reports:
        async for report in reports:
            if (report.load.running, report.load.waiting) == (count, 0):
                return


async def test_leaving_frees_the_engine(live: Live) -> None:
    streams = [live.engine.generate(endless(live)) for _ in range(SLOTS)]
    for stream in streams:
        await anext(stream)
    await until_running(live, SLOTS)
    for stream in streams:
        await stream.aclose()
    await until_running(live, 0)


async def test_being_cancelled_while_waiting_frees_the_queue(live: Live) -> None:
    tasks = [asyncio.create_task(live.collect(endless(live))) for _ in range(SLOTS + 2)]
    async with asyncio.timeout(10), aclosing(live.engine.watch_load()) as reports:
        async for report in reports:
            if report.load.waiting == 2:
                break
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await until_running(live, 0)


async def test_what_matters_more_goes_first(live: Live) -> None:
    order: list[str] = []

    async def note(name: str, priority: int) -> None:
        asked = replace(live.asks(sampling=replace(HOT, max_tokens=1)), priority=priority)
        await live.collect(asked)
        order.append(name)

    streams = [live.engine.generate(endless(live)) for _ in range(SLOTS)]
    for stream in streams:
        await anext(stream)
    later = asyncio.create_task(note("later", 5))
    async with asyncio.timeout(10), aclosing(live.engine.watch_load()) as reports:
        async for report in reports:
            if report.load.waiting == 1:
                break
    first = asyncio.create_task(note("first", -5))
    await asyncio.wait_for(asyncio.gather(later, first), 30)
    assert order == ["first", "later"]
    for stream in streams:
        await stream.aclose()
    await until_running(live, 0)


async def test_a_dead_engine_fails_what_runs_and_is_told(live: Live) -> None:
    guard = asyncio.create_task(live.engine.guard())
    stream = live.engine.generate(endless(live))
    await anext(stream)
    (core,) = [p for p in multiprocessing.active_children() if p.name == "EngineCore"]
    assert core.pid is not None
    os.kill(core.pid, signal.SIGKILL)
    with pytest.raises(EngineDead):
        _ = [piece async for piece in stream]
    with pytest.raises(EngineDead):
        await asyncio.wait_for(guard, 30)
    with pytest.raises(EngineDead):
        await live.collect(live.asks())

"""What every tokenizer does, the core and the client alike."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from services.shared.boundary import Boundary
from services.shared.chat import Message, Role, Tool
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from services.tokenizer.adapters.metered import MeteredTokenizer
from services.tokenizer.api import (
    Candidate,
    ContextTooLong,
    FitRequest,
    TemplateRefused,
    Tokenizer,
    UnknownModel,
    UnknownToken,
)
from services.tokenizer.client import connect_tokenizer
from services.tokenizer.encoder import Encoder
from services.tokenizer.server import TokenizerServer
from tests.fakes.tokenizer import mistral_like, qwen_like


@pytest.fixture(params=["direct", "metered", "over gRPC"])
async def tokenizer(request: pytest.FixtureRequest) -> AsyncIterator[Tokenizer]:
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(2))
        models = {"qwen": qwen_like().build(), "mistral": mistral_like().build()}
        core = Encoder(models, executor)
        if request.param == "direct":
            yield core
            return
        metered = MeteredTokenizer(core, CollectorRegistry())
        if request.param == "metered":
            yield metered
            return
        tracer = Tracer("tokenizer", otlp_endpoint="", sample_ratio=1)
        boundary = Boundary("tokenizer", tracer, RpcMetrics(CollectorRegistry()))
        port = await stack.enter_async_context(
            serving([TokenizerServer(metered)], "localhost:0", grace=0, interceptors=[boundary])
        )
        yield await stack.enter_async_context(connect_tokenizer(f"localhost:{port}", timeout=60))


def ask(
    *texts: str, model: str = "qwen", max_tokens: int = 1000, tools: Sequence[Tool] = ()
) -> FitRequest:
    """The last text may not be dropped; each other is a unit."""
    units = [*range(1, len(texts)), 0]
    return FitRequest(
        model=model,
        candidates=[
            Candidate(Message(Role.USER, text), unit)
            for text, unit in zip(texts, units, strict=True)
        ],
        tools=tools,
        max_tokens=max_tokens,
        drop_step_tokens=0,
        left_out=Message(Role.SYSTEM, "Something was left out."),
    )


async def test_a_conversation_is_rendered_with_the_models_template(tokenizer: Tokenizer) -> None:
    fitted = await tokenizer.fit(ask("Hello", "there"))
    assert fitted.dropped_through_unit == 0
    assert await tokenizer.decode("qwen", fitted.ids) == (
        "<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>user\nthere<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


async def test_what_does_not_fit_is_left_out_and_said_to_be(tokenizer: Tokenizer) -> None:
    fitted = await tokenizer.fit(ask("word " * 100, "word " * 100, "Hello", max_tokens=60))
    assert fitted.dropped_through_unit == 2
    assert len(fitted.ids) <= 60
    assert await tokenizer.decode("qwen", fitted.ids) == (
        "<|im_start|>system\nSomething was left out.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


async def test_what_may_not_be_dropped_and_is_too_long_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await tokenizer.fit(ask("old", "word " * 100, max_tokens=50))
    assert caught.value.details["max_tokens"] == "50"
    assert int(caught.value.details["tokens"]) > 100


async def test_a_template_may_refuse(tokenizer: Tokenizer) -> None:
    with pytest.raises(TemplateRefused, match="Conversation roles must alternate"):
        await tokenizer.fit(ask("CANARY", "twice", model="mistral"))


async def test_a_broken_schema_is_told_by_its_field(tokenizer: Tokenizer) -> None:
    with pytest.raises(Malformed) as caught:
        await tokenizer.fit(ask("hi", tools=[Tool("f", "", "{")]))
    assert caught.value.details == {"param": "tools"}


@pytest.mark.parametrize("text", ["", "Hello", "Größe 🎉\0\n", "<|im_end|>", "こんにちは" * 500])
async def test_texts_survive_encoding_and_decoding(tokenizer: Tokenizer, text: str) -> None:
    assert await tokenizer.decode("qwen", await tokenizer.encode("qwen", text)) == text


async def test_a_model_that_is_not_served_is_unknown(tokenizer: Tokenizer) -> None:
    for call in (
        tokenizer.fit(ask("hi", model="none")),
        tokenizer.encode("none", "hi"),
        tokenizer.decode("none", [1]),
    ):
        with pytest.raises(UnknownModel):
            await call


async def test_an_id_outside_the_vocabulary_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UnknownToken):
        await tokenizer.decode("qwen", [2**32 - 1])


async def test_the_loop_goes_on_while_a_long_text_is_encoded(tokenizer: Tokenizer) -> None:
    long = asyncio.create_task(tokenizer.encode("qwen", "long text, " * 100_000))
    answered = 0
    while not long.done():
        await tokenizer.encode("qwen", "short")
        answered += 1
    assert len(await long) >= 100_000
    # A handful, if encoding kept Python to itself.
    assert answered > 100

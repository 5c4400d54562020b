"""What every tokenizer does, the core and the client alike, and what every model does for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from services.shared.boundary import Boundary
from services.shared.conversation import Role
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tools import Tool
from services.shared.tracing import Tracer
from services.tokenizer.adapters.metered import MeteredTokenizer
from services.tokenizer.api import (
    Candidate,
    ContextTooLong,
    FitRequest,
    NoTokenizer,
    TemplateMessage,
    TemplateRefused,
    Tokenizer,
    UnknownToken,
)
from services.tokenizer.client import connect_tokenizer
from services.tokenizer.encoder import Encoder
from services.tokenizer.ports import Model
from services.tokenizer.server import TokenizerServer
from tests.fakes.tokenizer import WordModel, mistral_like, qwen_like, vision_like


@pytest.fixture(params=["direct", "metered", "over gRPC"])
async def tokenizer(request: pytest.FixtureRequest) -> AsyncIterator[Tokenizer]:
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(2))
        likes = {"qwen": qwen_like, "mistral": mistral_like, "vision": vision_like}
        models = {name: like().build() for name, like in likes.items()}
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
            Candidate(TemplateMessage(Role.USER, text), unit)
            for text, unit in zip(texts, units, strict=True)
        ],
        tools=tools,
        max_tokens=max_tokens,
        drop_step_tokens=0,
        left_out=TemplateMessage(Role.SYSTEM, "Something was left out."),
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
    with pytest.raises(TemplateRefused, match="Conversation roles must alternate") as caught:
        await tokenizer.fit(ask("CANARY", "twice", model="mistral"))
    assert caught.value.details == {"param": "input"}


def ask_about(*pictures: int, model: str = "vision") -> FitRequest:
    seen = TemplateMessage(Role.USER, "Is 🎉this a cat?", pictures=pictures)
    return FitRequest(model, [Candidate(seen)], [], max_tokens=100, drop_step_tokens=0)


async def test_a_picture_stands_where_it_stood(tokenizer: Tokenizer) -> None:
    fitted = await tokenizer.fit(ask_about(4))
    assert await tokenizer.decode("vision", fitted.ids) == (
        "<|im_start|>user\nIs 🎉<|vision_start|><|image_pad|><|vision_end|>this a cat?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


async def test_a_model_that_does_not_see_refuses_pictures(tokenizer: Tokenizer) -> None:
    with pytest.raises(TemplateRefused, match="takes no pictures"):
        await tokenizer.fit(ask_about(4, model="qwen"))


@pytest.mark.parametrize("pictures", [(17,), (4, 3)])
async def test_a_picture_outside_the_text_is_told_by_its_field(
    tokenizer: Tokenizer, pictures: tuple[int, ...]
) -> None:
    with pytest.raises(Malformed) as caught:
        await tokenizer.fit(ask_about(*pictures))
    assert caught.value.details == {"param": "pictures"}


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
        with pytest.raises(NoTokenizer):
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


@pytest.fixture(params=["words", "vision"])
def model(request: pytest.FixtureRequest) -> Model:
    return WordModel() if request.param == "words" else vision_like().build()


def test_a_model_reads_back_what_it_wrote(model: Model) -> None:
    assert model.decode(model.encode("Hello there")) == "Hello there"


def test_a_model_knows_no_other_ids(model: Model) -> None:
    with pytest.raises(UnknownToken):
        model.decode([10**6])


def test_a_models_prompt_holds_every_message_in_order(model: Model) -> None:
    spoken = [TemplateMessage(Role.USER, "first"), TemplateMessage(Role.USER, "second")]
    prompt = model.decode(model.prompt(spoken, [], {}))
    assert 0 < prompt.index("first") < prompt.index("second")


def test_a_model_counts_about_what_a_message_adds(model: Model) -> None:
    first = TemplateMessage(Role.USER, "What is this")
    for pictures in ((), (0,), (2, 2, 2, 2)):
        then = TemplateMessage(Role.USER, "It is a test", pictures=pictures)
        added = len(model.prompt([first, then], [], {})) - len(model.prompt([first], [], {}))
        # A model that counts in real tokens takes each role for one of the same length.
        assert abs(model.tokens(then) - added) <= 3


def test_a_model_takes_no_picture_outside_the_text(model: Model) -> None:
    with pytest.raises(Malformed):
        model.prompt([TemplateMessage(Role.USER, "cat", pictures=(4,))], [], {})

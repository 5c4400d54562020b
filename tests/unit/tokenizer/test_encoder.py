"""The core: which model answers, and where the work is done."""

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.shared.conversation import Role
from services.shared.tools import Tool
from services.tokenizer.api import Candidate, FitRequest, NoTokenizer, TemplateMessage
from services.tokenizer.encoder import Encoder
from tests.fakes.tokenizer import WordModel


class Watched(WordModel):
    """Notes the threads that it works on."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def prompt(
        self, messages: Sequence[TemplateMessage], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> list[int]:
        self.threads.add(threading.current_thread().name)
        return super().prompt(messages, tools, options)

    def encode(self, text: str) -> list[int]:
        self.threads.add(threading.current_thread().name)
        return super().encode(text)


@pytest.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "executor") as running:
        yield running


async def test_each_model_has_its_own_ids(executor: ThreadPoolExecutor) -> None:
    encoder = Encoder({"one": WordModel(), "two": WordModel()}, executor)
    await encoder.encode("one", "red green")
    ids = await encoder.encode("two", "blue")
    assert await encoder.decode("two", ids) == "blue"
    assert await encoder.decode("one", ids) == "red"


async def test_the_event_loop_does_no_work_itself(executor: ThreadPoolExecutor) -> None:
    model = Watched()
    encoder = Encoder({"m": model}, executor)
    await encoder.fit(FitRequest("m", [Candidate(TemplateMessage(Role.USER, "hi"))], [], 10, 0))
    await encoder.encode("m", "hi")
    assert model.threads == {"executor_0"}


async def test_no_other_model_answers(executor: ThreadPoolExecutor) -> None:
    with pytest.raises(NoTokenizer) as caught:
        await Encoder({"m": WordModel()}, executor).encode("n", "hi")
    assert caught.value.details == {"param": "model"}

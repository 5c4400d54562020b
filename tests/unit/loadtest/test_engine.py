"""The scripted engine of loads says as many words a second as it is asked for."""

import asyncio

import pytest

from loadtest.engine import Paced, PacedBackend, rule
from services.inference.api import Generation, Sampling
from services.inference.config import DEMO_DIRECTORY
from tests.fakes.inference import CARD, Script
from tests.fakes.tiny_model import END

PROMPT = f"<|im_start|>user\nsay 60 words at 10 a second{END}\n<|im_start|>assistant\n"


@pytest.mark.parametrize("stream_interval", [1, 2, 7, 16])
async def test_words_come_at_their_pace_however_their_tokens_are_joined(
    stream_interval: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word of the demo model has two tokens, its space and itself."""
    now = 100.0

    async def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def asked(prompt: str) -> Script:
        script = rule(prompt)
        assert isinstance(script, Paced)
        return Paced(script.text, seconds=script.seconds, since=100.0)

    backend = PacedBackend(DEMO_DIRECTORY, asked, slots=1)
    ids = backend.ids(PROMPT)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", wait)
    text = ""
    outputs = backend.generate(
        Generation(CARD.id, "gen", ids, Sampling()), None, stream_interval=stream_interval
    )
    async for output in outputs:
        text += output.deltas[0].text
        assert now == pytest.approx(100 + len(text.split()) / 10)
    assert len(text.split()) == 60

"""The service as it runs."""

from pathlib import Path

from services.shared.process import running
from services.tokenizer.client import connect_tokenizer
from services.tokenizer.config import TokenizerConfig
from services.tokenizer.wiring import SERVICE
from tests.fakes.tokenizer import qwen_like


async def test_the_service_serves_a_directory(tmp_path: Path) -> None:
    directory = qwen_like().write(tmp_path / "model")
    config = TokenizerConfig(address="127.0.0.1:0", models={"mine": str(directory)}, threads=1)
    async with (
        running(SERVICE, config) as endpoint,
        connect_tokenizer(endpoint.address, timeout=10) as tokenizer,
    ):
        ids = await tokenizer.encode("mine", "Hello")
        assert await tokenizer.decode("mine", ids) == "Hello"

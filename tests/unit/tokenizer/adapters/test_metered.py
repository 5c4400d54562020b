"""What is counted."""

from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry

from services.shared.conversation import Role
from services.tokenizer.adapters.metered import MeteredTokenizer
from services.tokenizer.api import Candidate, FitRequest, TemplateMessage
from services.tokenizer.encoder import Encoder
from tests.fakes.tokenizer import WordModel


async def test_prompts_and_cuts_are_counted() -> None:
    registry = CollectorRegistry()
    with ThreadPoolExecutor(1) as executor:
        metered = MeteredTokenizer(Encoder({"words": WordModel()}, executor), registry)
        spoken = [Candidate(TemplateMessage(Role.USER, "one two"), unit) for unit in (1, 0)]
        for max_tokens in (6, 3):
            await metered.fit(FitRequest("words", spoken, [], max_tokens, 0))

    def sample(name: str) -> float | None:
        return registry.get_sample_value(f"chatmesh_tokenizer_{name}", {"model": "words"})

    assert sample("prompt_tokens_count") == 2
    assert sample("prompt_tokens_sum") == 9
    assert sample("cut_prompts_total") == 1

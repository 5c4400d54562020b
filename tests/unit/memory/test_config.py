import pytest
from pydantic import ValidationError

from services.memory.config import MemoryConfig
from services.memory.wiring import limits
from services.shared.process import read
from services.shared.store_url import StoreUrl


@pytest.mark.parametrize("url", ["redis://localhost", "sqlite:", "memory"])
def test_an_unknown_store_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        MemoryConfig(store_url=StoreUrl(url))


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("MEMORY_MAX_FACT_CHARS", "0"),
        ("MEMORY_MAX_FACTS_PER_PERSON", "none"),
        ("MEMORY_RELEVANCE", "1.1"),
        ("MEMORY_ERASURES_REREAD_SECONDS", "0"),
    ],
)
def test_a_wrong_value_names_its_knob(
    monkeypatch: pytest.MonkeyPatch, knob: str, value: str
) -> None:
    monkeypatch.setenv(knob, value)
    with pytest.raises(SystemExit, match=knob):
        read(MemoryConfig)


def test_what_is_configured_limits_the_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_MAX_FACTS_PER_PERSON", "7")
    monkeypatch.setenv("MEMORY_MAX_FACT_CHARS", "70")
    configured = limits(read(MemoryConfig))
    assert (configured.facts, configured.fact_chars) == (7, 70)

import pytest
from pydantic import ValidationError

from services.context_assembly.config import ContextAssemblyConfig
from services.shared.store_url import StoreUrl


@pytest.mark.parametrize("url", ["memory:", "sqlite:turns.sqlite"])
def test_a_url_that_an_adapter_takes_is_taken(url: str) -> None:
    assert ContextAssemblyConfig(turns_url=StoreUrl(url)).turns_url == StoreUrl(url)


@pytest.mark.parametrize("url", ["", "sqlite:", "redis://localhost", "memory:x"])
def test_a_url_that_no_adapter_takes_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        ContextAssemblyConfig(turns_url=StoreUrl(url))


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT_ASSEMBLY_MAX_SUMMARY_TOKENS", "64")
    assert ContextAssemblyConfig().max_summary_tokens == 64

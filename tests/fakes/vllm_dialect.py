"""vLLM's parsers without an engine, for tests."""

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from services.inference.adapters import vllm_environment

if TYPE_CHECKING:
    from services.inference.adapters.vllm_parsers import VllmParsers

# What imports vLLM: it is slow and loud.
needs_vllm = (
    pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="vllm is not installed"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
)


@functools.cache
def vllm_dialect(
    directory: Path,
    tool_parser: str = "hermes",
    reasoning_parser: str = "",
    *,
    tool_strict_level: Literal["auto", "function", "parameter"] = "parameter",
    speculates: bool = False,
) -> "VllmParsers":
    vllm_environment.prepare()
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - see above
    from vllm.tokenizers import cached_tokenizer_from_config  # noqa: PLC0415

    from services.inference.adapters.vllm_parsers import VllmParsers  # noqa: PLC0415

    config = AsyncEngineArgs(model=str(directory)).create_model_config()
    return VllmParsers(
        config,
        cached_tokenizer_from_config(config),
        tool_parser=tool_parser,
        reasoning_parser=reasoning_parser,
        tool_strict_level=tool_strict_level,
        speculates=speculates,
    )

"""A prompt with pictures, as vLLM takes it."""

import asyncio
import struct
import time
import zlib
from collections.abc import Sequence

import structlog
from PIL import Image
from vllm.inputs import MultiModalInput, TokensPrompt
from vllm.multimodal.media import MediaWithBytes
from vllm.multimodal.media.image import ImageMediaIO
from vllm.renderers import BaseRenderer

from services.inference.api import Generation, UnsupportedParameter
from services.shared.conversation import Picture

_log = structlog.get_logger()
# What Pillow's readers raise on broken files; not all of it is an error of Pillow's own.
_UNREADABLE = (
    *(ValueError, OSError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


async def prompt_with_pictures(
    renderer: BaseRenderer, generation: Generation, *, cache_salt: str | None, window_tokens: int
) -> MultiModalInput:
    """The ids, with as many tokens for each picture as the model needs to look at it.

    The generation's ids hold one place for each picture, as the model's chat template writes it.
    Raises `UnsupportedParameter`, also where the prompt then leaves no room in the window.
    """
    renderer.validate_token_ids(generation.prompt_ids)
    images = await asyncio.to_thread(decoded, generation.pictures)
    prompt = TokensPrompt(
        prompt_token_ids=list(generation.prompt_ids), multi_modal_data={"image": images}
    )
    if cache_salt:
        prompt["cache_salt"] = cache_salt
    try:
        # With its usual cache vLLM sends a picture to the engine's process once and later refers to
        # it. It does so even where the first generation was aborted before anything was sent.
        made = await renderer.process_for_engine_async(prompt, time.time(), skip_mm_cache=True)
    except (AssertionError, ValueError, RuntimeError) as error:
        # The error's own words may hold the prompt.
        _log.warning("pictures refused", error=type(error).__name__)
        raise UnsupportedParameter(
            "pictures do not fit the prompt, which must have one place for each, or the model",
            param="pictures",
        ) from None
    assert made["type"] == "multimodal"
    if (tokens := len(made["prompt_token_ids"])) >= window_tokens:
        raise UnsupportedParameter(
            f"This model's maximum context length is {window_tokens} tokens. However, with its"
            f" pictures the prompt has {tokens} tokens, and one must be left for the output",
            param="pictures",
            code="context_length_exceeded",
        )
    return made


def decoded(pictures: Sequence[Picture]) -> list[MediaWithBytes[Image.Image]]:
    """Blocks. Raises `UnsupportedParameter` for what is no picture that vLLM would read."""
    return [_decoded(number, picture) for number, picture in enumerate(pictures, 1)]


def _decoded(number: int, picture: Picture) -> MediaWithBytes[Image.Image]:
    try:
        return ImageMediaIO().load_bytes(picture.content)
    except _UNREADABLE:
        raise UnsupportedParameter(
            f"picture {number} cannot be read: it is broken, too large or of an unknown format",
            param="pictures",
        ) from None

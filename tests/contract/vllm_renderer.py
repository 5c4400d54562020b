"""What vLLM's OpenAI server makes of chat requests; a script, for vLLM is slow and loud to import.

Reads `[[model directory, [request, ...]], ...]` from the first path, and writes to the second, for
each directory, a list of ids for each request: null where the chat template refuses it.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from vllm.config import ModelConfig, VllmConfig
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMValidationError
from vllm.renderers import renderer_from_config
from vllm.renderers.chat_utils import AsyncMultiModalItemTracker, _parse_chat_message_content
from vllm.renderers.hf import resolve_chat_template_content_format, safe_apply_chat_template
from vllm.renderers.online_renderer import OnlineRenderer


def _renderer(directory: str) -> OnlineRenderer:
    config = ModelConfig(model=directory, tokenizer=directory, dtype="float32")
    return OnlineRenderer(
        config,
        renderer_from_config(VllmConfig(model_config=config)),
        request_logger=None,
        chat_template=None,
        chat_template_content_format="auto",
    )


class _SeenPictures(AsyncMultiModalItemTracker):
    """Takes every picture and opens none, as only models with a picture processor may."""

    def add(self, modality: str, item: object) -> None:
        pass


def _ids_with_pictures(renderer: OnlineRenderer, request: dict[str, Any]) -> list[int]:
    """The prompt before a picture processor lengthens it.

    vLLM's own steps one by one: the whole needs a model that sees, and its libraries.
    """
    config = renderer.model_config
    tokenizer: Any = renderer.renderer.get_tokenizer()
    content_format = resolve_chat_template_content_format(
        None, None, "auto", tokenizer, model_config=config
    )
    seen = _SeenPictures(config)
    conversation = [
        parsed
        for message in request["messages"]
        for parsed in _parse_chat_message_content(
            message, seen, content_format, interleave_strings=False
        )
    ]
    ids = safe_apply_chat_template(
        config,
        tokenizer,
        conversation,
        add_generation_prompt=True,
        **request["chat_template_kwargs"],
    )
    assert isinstance(ids, list), ids
    return ids


def _has_pictures(request: dict[str, Any]) -> bool:
    return any(isinstance(message["content"], list) for message in request["messages"])


async def _ids(renderer: OnlineRenderer, request: dict[str, Any]) -> list[int] | None:
    if _has_pictures(request):
        return _ids_with_pictures(renderer, request)
    try:
        rendered = await renderer.render_chat(ChatCompletionRequest(model="", **request))
    except VLLMValidationError:
        return None
    assert isinstance(rendered, tuple), rendered
    prompts: list[Any] = rendered[1]
    return list(prompts[0]["prompt_token_ids"])


async def main(asked: list[Any]) -> list[Any]:
    answers = []
    for directory, requests in asked:
        renderer = _renderer(directory)
        answers.append([await _ids(renderer, request) for request in requests])
    return answers


if __name__ == "__main__":
    asked, answered = map(Path, sys.argv[1:])
    answered.write_text(json.dumps(asyncio.run(main(json.loads(asked.read_text())))))

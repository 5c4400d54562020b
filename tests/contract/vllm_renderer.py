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


async def _ids(renderer: OnlineRenderer, request: dict[str, Any]) -> list[int] | None:
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

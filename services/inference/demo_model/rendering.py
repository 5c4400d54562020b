"""Messages to the token ids that the served model sees, and which of them it must learn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from services.inference.demo_model.generator.scene import Message

MODEL_FOLDER = Path(__file__).parent / "model"
POSITIONS = 4096
TURN_START, TURN_END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Rendered:
    """`replies` are the half-open spans of ids that an assistant says, end of turn included."""

    ids: list[int]
    replies: list[tuple[int, int]]


class ChatTemplate:
    """The template in the environment that transformers and vLLM give it."""

    def __init__(self, source: str) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        self._template = environment.from_string(source)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[object] | None,
        *,
        add_generation_prompt: bool,
    ) -> str:
        return self._template.render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt
        )


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}")
    return found


class ChatEncoder:
    """Renders and tokenizes whole conversations."""

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer) -> None:
        self._template = template
        self.tokenizer = tokenizer
        self.pad = _id(tokenizer, PAD)
        self.turn_end = _id(tokenizer, TURN_END)
        self._opening = tokenizer.encode(f"{TURN_START}assistant\n").ids

    @classmethod
    def load(cls, folder: Path) -> "ChatEncoder":
        template = ChatTemplate((folder / "chat_template.jinja").read_text(encoding="utf-8"))
        return cls(template, Tokenizer.from_file(str(folder / "tokenizer.json")))

    def encode(self, messages: Sequence[Message], tools: Sequence[object]) -> Rendered:
        text = self._template.render(messages, tools, add_generation_prompt=False)
        ids = self.tokenizer.encode(text).ids
        return Rendered(ids, list(self._spans(ids)))

    def _spans(self, ids: list[int]) -> list[tuple[int, int]]:
        opening, spans, at = self._opening, [], 0
        while True:
            try:
                at = ids.index(opening[0], at)
                if ids[at : at + len(opening)] == opening:
                    end = ids.index(self.turn_end, at) + 1
                    spans.append((at + len(opening), end))
                at += 1
            except ValueError:
                return spans

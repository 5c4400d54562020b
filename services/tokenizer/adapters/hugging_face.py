"""A Hugging Face model's tokenizer and chat template."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from services.shared.chat import Message, Role, Tool
from services.tokenizer.adapters import reader
from services.tokenizer.adapters.chat_template import ChatTemplate
from services.tokenizer.adapters.shielded_tokenizer import (
    UnusableModel,
    control_tokens,
    shielded_tokenizer,
)
from services.tokenizer.api import TemplateRefused, UnknownToken
from services.tokenizer.shield import Shield


class HuggingFaceModel:
    """Ids equal transformers' and vLLM's, but that callers' texts hold no control tokens."""

    def __init__(
        self, tokenizer: Tokenizer, shield: Shield, templates: Mapping[str, ChatTemplate]
    ) -> None:
        self._tokenizer = tokenizer
        self._shield = shield
        self._templates = templates
        self._known = frozenset(tokenizer.get_vocab().values())
        self._frame_tokens = self._measured_frame()

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> list[int]:
        template = self._templates.get("tool_use") if tools else None
        template = template or self._templates.get("default")
        if template is None:
            raise TemplateRefused("the model has no chat template")
        return self._ids(template.render(messages, tools, options, self._shield))

    def tokens(self, message: Message) -> int:
        """Without reasoning: most templates leave it out once it is history."""
        calls = (f"{call.name}{call.arguments}" for call in message.tool_calls)
        written = sum(len(self.encode(text)) for text in (message.text, *calls))
        return self._frame_tokens + written

    def encode(self, text: str) -> list[int]:
        return self._ids(self._shield.text(text))

    def decode(self, ids: Sequence[int]) -> str:
        if not self._known.issuperset(ids):
            raise UnknownToken("an id is outside the model's vocabulary", param="ids")
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def _ids(self, marked: str) -> list[int]:
        # Of all ways to encode, this one lets other threads run, and it counts no letters.
        batch = [_whole(marked)]
        return self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)[0].ids

    def _measured_frame(self) -> int:
        """How many tokens the template puts around a message; some where it does not say."""
        user, assistant = Message(Role.USER, "a"), Message(Role.ASSISTANT, "a")
        try:
            short = self.prompt([user], [], {})
            long = self.prompt([user, assistant, user], [], {})
        except TemplateRefused:
            return 4
        return max((len(long) - len(short)) // 2 - len(self.encode("a")), 0)


def load(source: str) -> HuggingFaceModel:
    """From a model directory or a hub id; of the latter, what is missing is downloaded."""
    # -P: the script's neighbours are no modules to it.
    command = [sys.executable, "-P", reader.__file__, source]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UnusableModel(f"{source}: its tokenizer cannot be read: {reason}")
    return model_from(json.loads(done.stdout))


def model_from(written: Mapping[str, Any]) -> HuggingFaceModel:
    """From what the reader writes."""
    variants = written["chat_template"] or {}
    if isinstance(variants, str):
        variants = {"default": variants}
    templates = {
        name: ChatTemplate(text, written["special_tokens"]) for name, text in variants.items()
    }
    document = json.loads(written["tokenizer"])
    controls = control_tokens(document, " ".join(variants.values()))
    literals = {literal for template in templates.values() for literal in template.literals}
    shield = Shield(controls.values(), literals)
    return HuggingFaceModel(shielded_tokenizer(document, controls, shield), shield, templates)


def _whole(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

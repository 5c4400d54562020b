"""A Hugging Face model's tokenizer and chat template."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from services.shared.conversation import Role
from services.shared.tools import Tool
from services.tokenizer.adapters import read_with_transformers
from services.tokenizer.adapters.chat_template import ChatTemplate
from services.tokenizer.adapters.shielded_tokenizer import (
    UnusableModel,
    control_tokens,
    shielded_tokenizer,
)
from services.tokenizer.api import TemplateMessage, TemplateRefused, UnknownToken
from services.tokenizer.shield import Shield


class HuggingFaceModel:
    """Makes the ids that transformers and vLLM make, except that control tokens which a caller
    typed stay text."""

    def __init__(
        self, tokenizer: Tokenizer, shield: Shield, templates: Mapping[str, ChatTemplate]
    ) -> None:
        self._tokenizer = tokenizer
        self._shield = shield
        self._templates = templates
        self._known = frozenset(tokenizer.get_vocab().values())
        self._frame_tokens = self._measured_frame()
        self._picture_tokens = self._measured_picture()

    def prompt(
        self, messages: Sequence[TemplateMessage], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> list[int]:
        template = self._templates.get("tool_use") if tools else None
        template = template or self._templates.get("default")
        if template is None:
            raise TemplateRefused("the model has no chat template")
        return self._ids(template.render(messages, tools, options, self._shield))

    def tokens(self, message: TemplateMessage) -> int:
        """Counts no reasoning: most templates leave it out of earlier turns.

        A picture counts as what the template writes for it. The engine puts more in its place, as
        many tokens as the picture is large, and these are not counted.
        """
        calls = (f"{call.name}{call.arguments}" for call in message.tool_calls)
        written = sum(len(self.encode(text)) for text in (message.text, *calls))
        return self._frame_tokens + written + self._picture_tokens * len(message.pictures)

    def encode(self, text: str) -> list[int]:
        return self._ids(self._shield.text(text))

    def decode(self, ids: Sequence[int]) -> str:
        if not self._known.issuperset(ids):
            raise UnknownToken("an id is outside the model's vocabulary", param="ids")
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def _ids(self, marked: str) -> list[int]:
        # This call lets other threads run while it works, and leaves out the letters' offsets.
        batch = [_whole(marked)]
        return self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)[0].ids

    def _measured_frame(self) -> int:
        """How many tokens the template puts around a message; 4 where it refuses to show it."""
        user, assistant = TemplateMessage(Role.USER, "a"), TemplateMessage(Role.ASSISTANT, "a")
        try:
            short = self.prompt([user], [], {})
            long = self.prompt([user, assistant, user], [], {})
        except TemplateRefused:
            return 4
        return max((len(long) - len(short)) // 2 - len(self.encode("a")), 0)

    def _measured_picture(self) -> int:
        """How many tokens the template writes for a picture; 0 where it takes none."""
        bare, seen = (TemplateMessage(Role.USER, "a", pictures=places) for places in ((), (1,)))
        try:
            return len(self.prompt([seen], [], {})) - len(self.prompt([bare], [], {}))
        except TemplateRefused:
            return 0


def load(source: str) -> HuggingFaceModel:
    """Reads a model directory, or a hub id, whose missing files are downloaded.

    Raises `UnusableModel`.
    """
    # -P: the script shall not import the modules that lie beside it.
    command = [sys.executable, "-P", read_with_transformers.__file__, source]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UnusableModel(f"{source}: its tokenizer cannot be read: {reason}")
    return model_from(json.loads(done.stdout))


def model_from(written: Mapping[str, Any]) -> HuggingFaceModel:
    """Takes what read_with_transformers.py writes."""
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

"""What the encoder needs from outside."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.shared.tools import Tool
from services.tokenizer.api import TemplateMessage


class Model(Protocol):
    """A served model's chat template and vocabulary. Methods block; any thread may call them."""

    def prompt(
        self, messages: Sequence[TemplateMessage], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> Sequence[int]:
        """Ids of the rendered conversation, generation prompt included.

        Raises `TemplateRefused`; `Malformed` where a picture stands outside its text.
        """

    def tokens(self, message: TemplateMessage) -> int:
        """About how many tokens a message adds to a prompt, whatever stands around it."""

    def encode(self, text: str) -> Sequence[int]:
        """Ids of plain text; special tokens in it stay text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included. Raises `UnknownToken`."""

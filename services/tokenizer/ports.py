"""What the encoder needs from outside."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.shared.chat import Message, Tool


class Model(Protocol):
    """A served model's chat template and vocabulary. Methods block; any thread may call them."""

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> Sequence[int]:
        """Ids of the rendered conversation, generation prompt included; or `TemplateRefused`."""

    def tokens(self, message: Message) -> int:
        """About how many tokens a message adds to a prompt; depends on nothing else."""

    def encode(self, text: str) -> Sequence[int]:
        """Ids of plain text; special tokens in it stay text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included; or `UnknownToken`."""

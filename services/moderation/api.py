"""What moderation promises."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.shared.errors import MeshError

# OpenAI's (omni-moderation-latest).
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class TextTooLong(MeshError):
    """A text is longer than what is screened; `max_chars` says how long it may be."""

    status = "INVALID_ARGUMENT"


class Direction(Enum):
    INPUT = "input"  # towards the model
    OUTPUT = "output"  # towards people


class Action(Enum):
    PASS = "pass"  # noqa: S105
    REWRITE = "rewrite"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the original text, in code points, and the rule that found it."""

    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class Verdict:
    action: Action
    # 0 to 1 for each of `CATEGORIES`.
    scores: Mapping[str, float]
    # Categories above their thresholds, blocking or not.
    flagged: tuple[str, ...] = ()
    # What blocked it.
    category: str = ""
    spans: tuple[Span, ...] = ()
    # The rewritten text, when the action is REWRITE.
    text: str = ""


@dataclass(frozen=True, slots=True)
class Grown:
    """What a watched reply has grown by."""

    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class Release:
    """What may be shown now; follows what was released before."""

    text: str
    # The category for which the reply must stop here; then nothing is released.
    blocked_by: str = ""
    # How many further words make it worth asking again.
    next_words: int = 0


class Moderation(Protocol):
    """Says what may be read by the model and shown to people.

    It fails closed: whoever gets an error lets nothing pass.
    """

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        """A verdict on each text, in order."""

    def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        """One release for each growth; ends after the final one or a block."""

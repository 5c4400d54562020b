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
    """A text is too long to be screened; `max_chars` says how long it may be."""

    status = "INVALID_ARGUMENT"


class TextsTooLong(TextTooLong):
    """A request's texts are too long in all; `max_request_chars` says how long they may be."""


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
    # The category or the rule that blocked it.
    category: str = ""
    spans: tuple[Span, ...] = ()
    # The rewritten text, when the action is REWRITE.
    text: str = ""


@dataclass(frozen=True, slots=True)
class Grown:
    """The text that was added to a watched reply."""

    text: str
    final: bool
    # Whether another watch has answered it, and blocked nothing: it is not scored again.
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The text that may be shown now, after all that was released before."""

    text: str
    # The category or the rule for which the reply must stop here; then nothing is released.
    blocked_by: str = ""
    # How many further words the next `Grown` should bring.
    next_words: int = 0


class Moderation(Protocol):
    """Says what the model may read and what people may be shown.

    Whoever gets an error from it lets nothing pass.
    """

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        """A verdict on each text, in order."""

    def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        """One release for each `Grown`; ends after the final one, or after one that blocks.

        Text is held back until enough of it has come to be judged, and while later text could still
        make a rule find it.
        """

"""What inference promises."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Protocol

from services.shared.conversation import Picture
from services.shared.errors import MeshError, Overloaded, Unavailable
from services.shared.tools import Tool, ToolChoice


class UnknownModel(MeshError):
    status = "NOT_FOUND"


class UnsupportedParameter(MeshError):
    """The model or the engine refuses a parameter; `param` names it."""

    status = "INVALID_ARGUMENT"


class ToolsUnsupported(MeshError):
    """No tool parser is known for the model."""

    status = "INVALID_ARGUMENT"


class QueueFull(Overloaded):
    """Admission refused the generation; `retry_after` says in how many seconds to come again."""


class EngineDead(Unavailable):
    """The engine behind this replica has died or makes no progress."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens; what is None takes the model's own default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    # Likely tokens reported beside each chosen one; None: no log probabilities at all.
    top_logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)


class FormatKind(Enum):
    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    REGEX = "regex"
    # As llama.cpp's GBNF writes it, from the rule `root`.
    EBNF = "grammar"
    # From the rule `start`.
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What the output must look like; `text` is the schema, pattern or grammar."""

    kind: FormatKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Calling:
    """How the model may call functions, which decides how its output is read."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation asked for."""

    model: str
    request_id: str
    prompt_ids: Sequence[int]
    sampling: Sampling
    format: OutputFormat | None = None
    calling: Calling = field(default_factory=Calling)
    # Lower goes first.
    priority: int = 0
    cache_salt: str = ""
    # For a model that sees, in the order in which they stand in the prompt; `content` is set.
    pictures: tuple[Picture, ...] = ()
    # How many of the prompt's last tokens are the reply's first, which another replica has written.
    # Calls are read as if they had been written here. Only with one choice and without a format.
    begun_tokens: int = 0


class FinishReason(Enum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    # The last call is none: no whole JSON of its function's schema, or of a tool that is not
    # offered. Of it, what came before that was seen, or nothing.
    INVALID_CALL = "invalid_call"


@dataclass(frozen=True, slots=True)
class CallDelta:
    """The next piece of a function call; `name` comes with the first.

    `arguments` is JSON text; of a tool with `text_input`, the text itself.
    """

    index: int
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    id: int
    token: str
    logprob: float
    top: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What one choice has grown by; `finish_reason` comes with its last."""

    index: int
    ids: Sequence[int] = ()
    text: str = ""
    reasoning: str = ""
    calls: tuple[CallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def total(first: Usage, second: Usage) -> Usage:
    """What both have used together."""
    return Usage(
        *(getattr(first, each.name) + getattr(second, each.name) for each in fields(Usage))
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """What has come since the last piece; `usage` comes with the last."""

    deltas: tuple[Delta, ...]
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ParsedCall:
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Parsed:
    text: str
    reasoning: str
    calls: tuple[ParsedCall, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a served model."""

    id: str
    # Prompt and output together.
    context_tokens: int
    calls_tools: bool
    reasons: bool
    # Whether its summaries of a conversation are worth keeping.
    summarises: bool
    # Seconds since the epoch.
    created_at: int
    # Whether it can look at pictures.
    sees: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """How busy one replica is; `kv_cache_use` is 0 to 1, `slots` the most that run at once."""

    running: int
    waiting: int
    waiting_tokens: int
    slots: int
    kv_cache_use: float
    draining: bool


@dataclass(frozen=True, slots=True)
class Report:
    models: tuple[ModelCard, ...]
    load: Load


class Inference(Protocol):
    """Tokens for token ids, from one engine."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        """Pieces as the consumer keeps up; closing the generator aborts the generation."""

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        """Reads finished output as `generate` would have, without an engine.

        `stop` are the generation's stop strings: its ids reach beyond the text that it showed.
        """

    def watch_load(self) -> AsyncGenerator[Report, None]:
        """A report at once, then one at every change, at most ten times a second."""

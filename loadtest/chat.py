"""A chat of many turns in a small window: it goes on, and summaries replace what they cover."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import openai
from openai.types.responses import Response
from openai.types.responses.response_input_param import ResponseInputParam

from loadtest.processes import SevenProcesses
from loadtest.report import progress, table

_THRESHOLD = 600
_MOST_OUTPUT = 64
_PROGRESS_EVERY = 50


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one turn took, and whether it compacted what was said before it."""

    seconds: float
    input_tokens: int
    compacted: bool


class WrongChat(Exception):
    """The chat did not go on as it must."""


def measured(mesh: SevenProcesses, *, turns: int) -> str:
    """Each turn continues the one before it by its id; the last goes on over a WebSocket.

    Raises `WrongChat` where a turn does not complete, reads more than the threshold and its own
    words, reports other usage than the sum of its parts, or where nothing was ever compacted.
    """
    with openai.OpenAI(
        base_url=mesh.base_url, api_key=mesh.key("chat"), max_retries=0, timeout=120
    ) as sdk:
        model = sdk.models.list().data[0].id
        seen, last = _chat(sdk, model, turns)
        _on_socket(sdk, model, last)
    if not any(turn.compacted for turn in seen):
        raise WrongChat("nothing was compacted")
    return _table(seen)


def _chat(sdk: openai.OpenAI, model: str, turns: int) -> tuple[list[_Turn], str]:
    seen: list[_Turn] = []
    previous = ""
    for number in range(turns):
        if not number % _PROGRESS_EVERY:
            progress(f"chat: turn {number} of {turns}")
        begun = time.monotonic()
        response = sdk.responses.create(
            model=model,
            input=_words(number),
            max_output_tokens=_MOST_OUTPUT,
            context_management=[{"type": "compaction", "compact_threshold": _THRESHOLD}],
            previous_response_id=previous or openai.omit,
        )
        seen.append(_checked(response, number, time.monotonic() - begun))
        previous = response.id
    return seen, previous


def _checked(response: Response, number: int, seconds: float) -> _Turn:
    usage = response.usage
    if response.status not in {"completed", "incomplete"} or usage is None:
        raise WrongChat(f"turn {number} is {response.status}: {response.error}")
    if usage.total_tokens != usage.input_tokens + usage.output_tokens:
        raise WrongChat(f"turn {number}: the usage {usage} does not add up")
    compacted = any(item.type == "compaction" for item in response.output)
    # A turn that compacts has read all of it once more, to summarise it.
    most = _THRESHOLD * (3 if compacted else 1)
    if usage.input_tokens > most:
        raise WrongChat(f"turn {number} read {usage.input_tokens} tokens, more than {most}")
    return _Turn(seconds, usage.input_tokens, compacted)


def _on_socket(sdk: openai.OpenAI, model: str, previous: str) -> None:
    words: ResponseInputParam = [{"role": "user", "content": "hello"}]
    with sdk.responses.connect() as connection:
        connection.response.create(model=model, input=words, previous_response_id=previous)
        for event in connection:
            if event.type in {"response.failed", "error"}:
                raise WrongChat(f"on the socket: {event}")
            if event.type in {"response.completed", "response.incomplete"}:
                return
    raise WrongChat("the socket closed before its turn ended")


def _words(number: int) -> str:
    return f"what is {number} times 7? " + "I ask because I count boxes of pears. " * 3


def _table(seen: list[_Turn]) -> str:
    return table(
        f"a chat of {len(seen)} turns on real vLLM, compacted above {_THRESHOLD} tokens",
        ("turns", "compactions", "most tokens read by a turn that did not compact", "p50 s"),
        [tuple(_row(seen))],
    )


def _row(seen: list[_Turn]) -> Iterator[object]:
    yield len(seen)
    yield sum(turn.compacted for turn in seen)
    yield max(turn.input_tokens for turn in seen if not turn.compacted)
    yield sorted(turn.seconds for turn in seen)[len(seen) // 2]

"""What a caller or a tool sends is read by moderation before the model reads it."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.api import Ask, InputBlocked, InvalidRequest
from services.gateway.json_words import (
    argument_words,
    tool_words,
    with_argument_words,
    with_tool_words,
)
from services.moderation.api import (
    Action,
    Direction,
    Moderation,
    TextsTooLong,
    TextTooLong,
    Verdict,
)
from services.shared.conversation import (
    Call,
    CallResult,
    Item,
    Message,
    Parts,
    Reasoning,
    Refusal,
    Role,
    Text,
    text_of,
)
from services.shared.tools import Tool
from services.tool_runner.api import Outcome

_WITHHELD_RESULT = "error: moderation withheld the tool's result"
_WITHHELD_REPLY = "[moderation withheld this message]"
# A function's name. Whatever else a call in the input is said to be of, is words.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Passage:
    """A text of the ask that the model would read."""

    text: str
    # The ask with another text in its place.
    put: Callable[[Ask, str], Ask]
    # The field of the ask that it stands in.
    field: str
    # What the model reads instead where it is blocked; empty: the request is refused. What a tool
    # or an assistant said comes again with every later turn, and a refusal would end them all.
    instead: str = ""


class Screening:
    """Asks moderation, and puts what it masks in the place of what was there."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    async def screen(self, ask: Ask) -> Ask:
        """The ask as moderation lets it pass; the same one where nothing is masked.

        Raises `InputBlocked`, and `InvalidRequest` for a text that is too long.
        """
        passages = [passage for passage in _passages(ask) if passage.text.strip()]
        verdicts = await self._verdicts(passages)
        for passage, verdict in zip(passages, verdicts, strict=True):
            if verdict.action is Action.BLOCK and not passage.instead:
                raise InputBlocked(
                    f"the input is blocked by the content policy ({verdict.category})",
                    category=verdict.category,
                )
            if verdict.action is Action.BLOCK:
                ask = passage.put(ask, passage.instead)
            if verdict.action is Action.REWRITE:
                ask = passage.put(ask, verdict.text)
        return ask

    async def screen_outcome(self, outcome: Outcome) -> Outcome:
        """What a tool has brought, as the model may read it."""
        text = text_of(outcome.parts)
        if not text:
            return outcome
        (verdict,) = await self._moderation.screen([text], Direction.INPUT)
        if verdict.action is Action.BLOCK:
            return replace(outcome, parts=(Text(_WITHHELD_RESULT),))
        if verdict.action is Action.REWRITE:
            return replace(outcome, parts=_with_text(outcome.parts, verdict.text))
        return outcome

    async def _verdicts(self, passages: Sequence[_Passage]) -> Sequence[Verdict]:
        texts = [passage.text for passage in passages]
        try:
            return await self._moderation.screen(texts, Direction.INPUT)
        except TextsTooLong as error:
            raise _refused(error, "input") from None
        except TextTooLong as error:
            longest = max(passages, key=lambda passage: len(passage.text))
            raise _refused(error, longest.field) from None


def _refused(error: TextTooLong, field: str) -> InvalidRequest:
    said = f"has a text of {error.message}"
    return InvalidRequest(said, param=field, code="string_above_max_length")


def _passages(ask: Ask) -> Iterator[_Passage]:
    """All that a caller sends.

    What the assistant said is the caller's word as well. Stored turns are not in the ask.
    """
    instructed = ask.instructions
    yield _Passage(instructed, lambda ask, text: replace(ask, instructions=text), "instructions")
    for number, tool in enumerate(ask.functions):
        yield _Passage(tool_words(tool), _in_tool(number), "tools")
    for name, value in ask.template_options.items():
        yield _Passage(argument_words(value), _in_option(name), "template_options")
    yield from _passages_of(ask.unstored, "unstored")
    yield from _passages_of(ask.input, "input")


def _passages_of(items: Sequence[Item], field: str) -> Iterator[_Passage]:
    """Of the items that stand in a field of the ask."""
    for number, item in enumerate(items):
        text = _in_item(field, number, _with_item_text)
        if isinstance(item, Message):
            instead = _WITHHELD_REPLY if item.role is Role.ASSISTANT else ""
            yield _Passage(item.text, text, "input", instead)
        # What is sealed was written and moderated here.
        if isinstance(item, Reasoning) and not item.opaque:
            yield _Passage(item.text, text, "input", _WITHHELD_REPLY)
        if isinstance(item, CallResult):
            yield _Passage(item.text, text, "input", _WITHHELD_RESULT)
        if isinstance(item, Call) and not _NAME.fullmatch(item.name):
            yield _Passage(item.name, _in_item(field, number, _with_name), "input")
        if isinstance(item, Call):
            arguments = _in_item(field, number, _with_arguments)
            yield _Passage(argument_words(item.arguments), arguments, "input")
        if isinstance(item, Call) and item.outcome:
            yield _Passage(item.outcome.text, text, "input", _WITHHELD_RESULT)


def _in_tool(number: int) -> Callable[[Ask, str], Ask]:
    def put(ask: Ask, text: str) -> Ask:
        functions: list[Tool] = [*ask.functions]
        functions[number] = with_tool_words(functions[number], text)
        return replace(ask, functions=tuple(functions))

    return put


def _in_option(name: str) -> Callable[[Ask, str], Ask]:
    def put(ask: Ask, text: str) -> Ask:
        value = with_argument_words(ask.template_options[name], text)
        return replace(ask, template_options={**ask.template_options, name: value})

    return put


def _in_item(
    field: str, number: int, changed: Callable[[Item, str], Item]
) -> Callable[[Ask, str], Ask]:
    def put(ask: Ask, text: str) -> Ask:
        items: list[Item] = [*getattr(ask, field)]
        items[number] = changed(items[number], text)
        put_back: dict[str, Any] = {field: tuple(items)}
        return replace(ask, **put_back)

    return put


def _with_name(item: Item, text: str) -> Item:
    assert isinstance(item, Call)
    return replace(item, name=text)


def _with_arguments(item: Item, text: str) -> Item:
    assert isinstance(item, Call)
    return replace(item, arguments=with_argument_words(item.arguments, text))


def _with_item_text(item: Item, text: str) -> Item:
    if isinstance(item, Call):
        assert item.outcome
        parts = _with_text(item.outcome.parts, text)
        return replace(item, outcome=replace(item.outcome, parts=parts))
    if isinstance(item, Reasoning):
        return replace(item, text=text, summary=(text,) if item.summary else ())
    assert isinstance(item, CallResult | Message)
    return replace(item, parts=_with_text(item.parts, text))


def _with_text(parts: Parts, text: str) -> Parts:
    """One text in the place of all texts, and what cannot be read after it.

    What is withheld, is withheld whole.
    """
    if text in (_WITHHELD_RESULT, _WITHHELD_REPLY):
        return (Text(text),)
    others = (part for part in parts if not isinstance(part, Text | Refusal))
    return (Text(text), *others)

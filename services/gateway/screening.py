"""What a caller or a tool sends is read by moderation before the model reads it."""

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.api import Ask, InputBlocked, InvalidRequest
from services.moderation.api import Action, Direction, Moderation, TextTooLong, Verdict
from services.shared.conversation import (
    Call,
    CallResult,
    Item,
    Message,
    Parts,
    Refusal,
    Role,
    Text,
    text_of,
)
from services.tool_runner.api import Outcome

_WITHHELD = "error: moderation withheld the tool's result"


class Screening:
    """Asks moderation, and puts what it masks in the place of what was there."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    async def screen(self, ask: Ask) -> Ask:
        """The ask as moderation lets it pass; the same one where nothing is masked.

        Raises `InputBlocked`, and `InvalidRequest` for a text that is too long.
        """
        texts = [ask.instructions, *map(_text, ask.input)]
        wanted = [number for number, text in enumerate(texts) if text]
        verdicts = await self._verdicts([texts[number] for number in wanted])
        for number, verdict in zip(wanted, verdicts, strict=True):
            if verdict.action is Action.BLOCK:
                raise InputBlocked(
                    f"the input is blocked by the content policy ({verdict.category})",
                    category=verdict.category,
                )
            if verdict.action is Action.REWRITE:
                ask = _rewritten(ask, number, verdict.text)
        return ask

    async def screen_outcome(self, outcome: Outcome) -> Outcome:
        """What a tool has brought, as the model may read it."""
        text = text_of(outcome.parts)
        if not text:
            return outcome
        (verdict,) = await self._moderation.screen([text], Direction.INPUT)
        if verdict.action is Action.BLOCK:
            return replace(outcome, parts=(Text(_WITHHELD),))
        if verdict.action is Action.REWRITE:
            return replace(outcome, parts=_with_text(outcome.parts, verdict.text))
        return outcome

    async def _verdicts(self, texts: Sequence[str]) -> Sequence[Verdict]:
        try:
            return await self._moderation.screen(texts, Direction.INPUT)
        except TextTooLong as error:
            raise InvalidRequest(
                f"has a text of {error.message}", param="input", code="string_above_max_length"
            ) from None


def _text(item: Item) -> str:
    """What moderation reads of an item: all that a caller sends but what the assistant said."""
    if isinstance(item, CallResult):
        return item.text
    if isinstance(item, Message) and item.role is not Role.ASSISTANT:
        return item.text
    if isinstance(item, Call) and item.outcome:
        return item.outcome.text
    return ""


def _rewritten(ask: Ask, number: int, text: str) -> Ask:
    """The ask with another text in place of its instructions, 0, or of an item, from 1 on."""
    if not number:
        return replace(ask, instructions=text)
    items = list(ask.input)
    items[number - 1] = _with_item_text(items[number - 1], text)
    return replace(ask, input=tuple(items))


def _with_item_text(item: Item, text: str) -> Item:
    if isinstance(item, Call):
        assert item.outcome
        parts = _with_text(item.outcome.parts, text)
        return replace(item, outcome=replace(item.outcome, parts=parts))
    assert isinstance(item, CallResult | Message)
    return replace(item, parts=_with_text(item.parts, text))


def _with_text(parts: Parts, text: str) -> Parts:
    """One text in the place of all texts, and what cannot be read after it."""
    others = (part for part in parts if not isinstance(part, Text | Refusal))
    return (Text(text), *others)

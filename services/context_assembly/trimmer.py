"""Has the tokenizer cut a prompt to what the model's window holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.context_assembly.api import Assembly, InputTooLong
from services.context_assembly.ports import Tokenizer
from services.context_assembly.prompt import LEFT_OUT, Prompt
from services.shared.chat import Message, Role
from services.tokenizer.api import Candidate, ContextTooLong, FitRequest, TemplateRefused

# The part of the window that is dropped at a time, so that the prefix stays for several turns.
_STEPS = 8
# The most that the marker may take: nothing is refused for its sake.
_MARKER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What is left of a prompt."""

    messages: Sequence[Message]
    ids: Sequence[int]
    dropped_through_unit: int


class Trimmer:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    async def trim(self, assembly: Assembly, prompt: Prompt, max_tokens: int) -> Trimmed:
        """Raises `InputTooLong` when what may not be dropped is more than `max_tokens`."""
        candidates = prompt.candidates()
        marker = Message(Role.SYSTEM, LEFT_OUT) if any(prompt.units) else None
        try:
            return await self._fit(assembly, candidates, marker, max_tokens)
        except TemplateRefused:
            # Our own system messages may be what it does not take.
            folded = prompt.folded()
            marker = Message(Role.USER, LEFT_OUT) if marker else None
            if marker is None and folded == candidates:
                raise
            return await self._fit(assembly, folded, marker, max_tokens)

    async def _fit(
        self,
        assembly: Assembly,
        candidates: Sequence[Candidate],
        marker: Message | None,
        max_tokens: int,
    ) -> Trimmed:
        request = FitRequest(
            model=assembly.model.id,
            candidates=candidates,
            tools=assembly.tools,
            max_tokens=max_tokens,
            drop_step_tokens=assembly.model.context_tokens // _STEPS,
            left_out=marker,
            template_options=assembly.template_options,
        )
        try:
            fitted = await self._tokenizer.fit(request)
        except ContextTooLong as error:
            tokens = error.details["tokens"]
            if marker and int(tokens) <= max_tokens + _MARKER_TOKENS:
                return await self._fit(assembly, candidates, None, max_tokens)
            raise InputTooLong(
                f"the input has {tokens} tokens, at most {max_tokens} fit beside the reply",
                param="input",
                tokens=tokens,
                max_tokens=str(max_tokens),
            ) from None
        through = fitted.dropped_through_unit
        return Trimmed([*_kept(candidates, marker, through)], fitted.ids, through)


def _kept(
    candidates: Sequence[Candidate], marker: Message | None, through: int
) -> Iterator[Message]:
    for candidate in candidates:
        if not 0 < candidate.unit <= through:
            yield candidate.message
        elif marker:
            yield marker
            marker = None

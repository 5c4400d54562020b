"""Has the tokenizer cut a prompt to what the model's window holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.context_assembly.api import Assembly, InputTooLong
from services.context_assembly.ports import Tokenizer
from services.context_assembly.prompt import LEFT_OUT, Prompt
from services.shared.conversation import Picture, Role
from services.shared.errors import MeshError
from services.tokenizer.api import (
    Candidate,
    ContextTooLong,
    FitRequest,
    Fitted,
    TemplateMessage,
    TemplateRefused,
)

# The part of the window that is dropped at a time, so that the prefix stays for several turns.
_STEPS = 8
# The most that the marker may take: nothing is refused for its sake.
_MARKER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What is left of a prompt."""

    ids: Sequence[int]
    dropped_through_unit: int
    # Of the messages that are left, in their order.
    pictures: Sequence[Picture]
    fact_ids: Sequence[str]


class Trimmer:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    async def trim(self, assembly: Assembly, prompt: Prompt, max_tokens: int) -> Trimmed:
        """Raises `InputTooLong` when what may not be dropped is more than `max_tokens`."""
        marker = TemplateMessage(Role.SYSTEM, LEFT_OUT) if any(prompt.units) else None
        try:
            fitted = await self._fit(assembly, prompt.candidates(), marker, max_tokens)
        except TemplateRefused as refusal:
            fitted = await self._fit_otherwise(assembly, prompt, max_tokens, refusal)
        through = fitted.dropped_through_unit
        kept = prompt.kept(through)
        return Trimmed(
            ids=fitted.ids,
            dropped_through_unit=through,
            pictures=[picture for said in kept for picture in said.pictures],
            fact_ids=[*dict.fromkeys(fact_id for said in kept for fact_id in said.fact_ids)],
        )

    async def _fit_otherwise(
        self, assembly: Assembly, prompt: Prompt, max_tokens: int, refusal: TemplateRefused
    ) -> Fitted:
        """Our words may be what the template does not take, or what no longer fits.

        There is no marker: the template takes no system message where it would stand.
        """
        failure: MeshError = refusal
        for candidates in prompt.other_forms():
            try:
                return await self._fit(assembly, candidates, None, max_tokens)
            except (TemplateRefused, InputTooLong) as error:
                failure = error
        if isinstance(failure, TemplateRefused):
            raise TemplateRefused(failure.message, **{"param": "input", **failure.details})
        raise failure

    async def _fit(
        self,
        assembly: Assembly,
        candidates: Sequence[Candidate],
        marker: TemplateMessage | None,
        max_tokens: int,
    ) -> Fitted:
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
            return await self._tokenizer.fit(request)
        except ContextTooLong as error:
            tokens = error.details["tokens"]
            if marker and int(tokens) <= max_tokens + _MARKER_TOKENS:
                return await self._fit(assembly, candidates, None, max_tokens)
            raise InputTooLong(
                f"This model's maximum context length is {assembly.model.context_tokens} tokens. "
                f"However, the input has {tokens} tokens, and {max_tokens} fit beside the reply",
                param="input",
                tokens=tokens,
                max_tokens=str(max_tokens),
            ) from None

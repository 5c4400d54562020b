"""Which part of a conversation fits into a model's context window."""

from collections.abc import Iterator, Sequence

from services.tokenizer.api import (
    ContextTooLong,
    FitRequest,
    Fitted,
    TemplateMessage,
    TemplateRefused,
)
from services.tokenizer.ports import Model


class Fitter:
    """Drops the lowest units of one conversation until its prompt is short enough."""

    def __init__(self, model: Model, request: FitRequest) -> None:
        self._model = model
        self._request = request
        self._units = sorted({candidate.unit for candidate in request.candidates} - {0})

    def fit(self) -> Fitted:
        through = dropped = 0
        ids = self._prompt(through)
        # `Model.tokens` only estimates what a message adds to a prompt. Where its estimates are too
        # high, each round drops twice as much as the one before, so that there are few rounds.
        weight = 1
        while (excess := len(ids) - self._request.max_tokens) > 0:
            if not self._units or through == self._units[-1]:
                raise self._too_long(len(ids))
            through, dropped = self._cut(dropped + excess * weight)
            ids = self._prompt(through)
            weight *= 2
        return Fitted(ids, through)

    def _prompt(self, through: int) -> Sequence[int]:
        """Leaves `left_out` away where the template refuses a message in that place."""
        options = self._request.template_options or {}
        messages = list(self._kept(through, self._request.left_out))
        try:
            return self._model.prompt(messages, self._request.tools, options)
        except TemplateRefused:
            bare = list(self._kept(through, None))
            if len(bare) == len(messages):
                raise
            return self._model.prompt(bare, self._request.tools, options)

    def _kept(self, through: int, left_out: TemplateMessage | None) -> Iterator[TemplateMessage]:
        for candidate in self._request.candidates:
            if not 0 < candidate.unit <= through:
                yield candidate.message
            elif left_out:
                yield left_out
                left_out = None

    def _cut(self, tokens: int) -> tuple[int, int]:
        """Up to which unit to drop so that `tokens` go, and how many tokens go with it.

        The cut is made at the next multiple of the step. Where that would drop every unit, it drops
        only what is needed.
        """
        step = max(self._request.drop_step_tokens, 1)
        goal = -(-tokens // step) * step
        enough = None
        for unit, total in self._totals():
            if total >= tokens and enough is None:
                enough = unit, total
            if total >= goal and unit != self._units[-1]:
                return unit, total
        return enough or (unit, total)

    def _totals(self) -> Iterator[tuple[int, int]]:
        """Each unit, and how many tokens it has together with all units before it.

        The sums do not depend on later units, so a cut stays where it is as a conversation grows.
        """
        messages: dict[int, list[TemplateMessage]] = {unit: [] for unit in self._units}
        for candidate in self._request.candidates:
            if candidate.unit:
                messages[candidate.unit].append(candidate.message)
        total = 0
        for unit in self._units:
            total += sum(map(self._model.tokens, messages[unit]))
            yield unit, total

    def _too_long(self, tokens: int) -> ContextTooLong:
        limit = self._request.max_tokens
        return ContextTooLong(
            f"the prompt has {tokens} tokens, at most {limit} fit",
            tokens=str(tokens),
            max_tokens=str(limit),
        )

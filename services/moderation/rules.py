"""What happens to the stretches of text that rules find."""

from collections.abc import Iterable, Sequence

from services.moderation.api import Span
from services.moderation.policy import DirectionPolicy, RuleAction
from services.moderation.ports import Finder

# Finds of this family are removed. Every other find is replaced by its rule's name.
_INVISIBLE = "hidden"


class UnknownRule(ValueError):
    """A policy names a rule or a family that no finder has."""


class Rulebook:
    """The rules of a policy for one direction. Raises `UnknownRule`."""

    def __init__(self, finders: Sequence[Finder], policy: DirectionPolicy) -> None:
        self._family_of = {rule: finder.family for finder in finders for rule in finder.rules}
        if unknown := policy.rules.keys() - self._family_of.keys() - set(self._family_of.values()):
            raise UnknownRule(f"the policy's rules name {', '.join(sorted(unknown))}: no such rule")
        self._actions = {
            rule: policy.action(rule, family) for rule, family in self._family_of.items()
        }
        self._acting = [
            finder
            for finder in finders
            if any(self._actions[rule] is not RuleAction.PASS for rule in finder.rules)
        ]

    def find(self, text: str) -> list[Span]:
        """Finds only what the policy masks or blocks."""
        return [
            span
            for finder in self._acting
            for span in finder.find(text)
            if self._actions[span.rule] is not RuleAction.PASS
        ]

    def settled(self, text: str) -> int:
        """Where the part of a growing text ends in which later text changes no find."""
        return min((finder.settled(text) for finder in self._acting), default=len(text))

    def blocked_by(self, spans: Iterable[Span]) -> str:
        """The name of the first rule that blocks, or an empty string."""
        blocking = (s.rule for s in spans if self._actions[s.rule] is RuleAction.BLOCK)
        return next(blocking, "")

    def masked(self, spans: Iterable[Span]) -> list[Span]:
        """The finds to be masked, in order. Overlapping ones become one, named after the first."""
        apart: list[Span] = []
        masked = (span for span in spans if self._actions[span.rule] is RuleAction.MASK)
        for span in sorted(masked, key=lambda span: span.start):
            if apart and span.start < apart[-1].end:
                last = apart.pop()
                apart.append(Span(last.start, max(last.end, span.end), last.rule))
            else:
                apart.append(span)
        return apart

    def rewrite(self, text: str, masked: Sequence[Span]) -> str:
        parts, at = [], 0
        for span in masked:
            parts += [text[at : span.start], self._mask(span.rule)]
            at = span.end
        return "".join((*parts, text[at:]))

    def _mask(self, rule: str) -> str:
        return "" if self._family_of[rule] == _INVISIBLE else f"[{rule}]"

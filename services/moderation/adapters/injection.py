"""Phrases that are known from attempts to overrule a model's instructions."""

import re2  # type: ignore[import-untyped]

from services.moderation.api import Span

_RULES = {
    "injection-override": (
        r"(?:ignore|disregard|forget|override|bypass)\s+(?:\w+\s+){0,3}?"
        r"(?:previous|prior|above|earlier|preceding|foregoing|initial|original|your)\s+"
        r"(?:\w+\s+){0,2}?"
        r"(?:instructions?|prompts?|rules|guidelines|directions|programming|policies|context)"
    ),
    "injection-jailbreak": (
        r"\bdo anything now\b|\bDAN mode\b|\bjailb(?:reak|roken)\b"
        r"|\bdeveloper mode (?:enabled|on|output)\b"
        r"|(?:without|no|free of|free from)\s+(?:any\s+)?(?:\w+\s+){0,2}?"
        r"(?:restrictions|filters|censorship|guidelines)\s+(?:whatsoever|at all|or|and)\b"
        r"|\b(?:act|pretend|behave|respond|roleplay)\s+(?:\w+\s+){0,6}?"
        r"(?:unfiltered|uncensored|amoral|unrestricted)\b"
        r"|\bnever (?:say|tell me) (?:that )?(?:you|it) (?:can'?t|cannot)\b"
    ),
    "injection-prompt-leak": (
        r"(?:reveal|print|show|repeat|output|tell me|leak|display)\s+(?:\w+\s+){0,3}?"
        r"(?:system prompt|initial (?:prompt|instructions)|hidden (?:prompt|instructions)"
        r"|your instructions|text above|words above)"
    ),
    "injection-template": (
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id)\|>"
        r"|\[/?INST\]|<</?SYS>>"
    ),
}
_NAMES = {name.replace("-", "_"): name for name in _RULES}
_PATTERN = re2.compile("(?is)" + "|".join(f"(?P<{g}>{_RULES[n]})" for g, n in _NAMES.items()))


class InjectionFinder:
    """Finds known phrases, so that they can be reported.

    A find is only a sign: harmless texts quote such phrases, and an attack can do without them.
    """

    family = "injection"
    rules = frozenset(_RULES)

    def find(self, text: str) -> list[Span]:
        return [
            Span(match.start(), match.end(), next(_NAMES[g] for g in _NAMES if match.group(g)))
            for match in _PATTERN.finditer(text)
        ]

    def settled(self, text: str) -> int:  # noqa: ARG002
        """Always 0, since a phrase may span lines.

        So a policy that acts on phrases holds a reply back until its end.
        """
        return 0

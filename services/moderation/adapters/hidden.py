"""Characters that models read and people do not see."""

import re

from services.moderation.api import Span

_RULES = {
    # A message in Unicode's tag letters. Their only proper place is in flags, after U+1F3F4.
    "hidden-tags": r"(?<!\U0001f3f4)(?<![\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+",
    # Overrides and embeddings that make text read in another order than it is shown.
    "hidden-direction": r"[\u202a-\u202e\u2066-\u2069]+",
    # One variation selector chooses how a character looks. Several in a row hide bytes.
    "hidden-selectors": r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}",
    # A joiner belongs between letters of some scripts and in emoji. Three in a row belong nowhere.
    "hidden-zero-width": r"[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u180e]{3,}",
}
_PATTERN = re.compile(
    "|".join(f"(?P<{name.replace('-', '_')}>{rule})" for name, rule in _RULES.items())
)


class HiddenFinder:
    """Finds invisible writing: tag letters, overrides, rows of selectors or joiners."""

    family = "hidden"
    rules = frozenset(_RULES)

    def find(self, text: str) -> list[Span]:
        if text.isascii():
            return []
        return [
            Span(*match.span(), str(match.lastgroup).replace("_", "-"))
            for match in _PATTERN.finditer(text)
        ]

    def settled(self, text: str) -> int:
        """Before a row of invisible characters at the end, which later text may lengthen."""
        end = len(text)
        while end and _is_mark(text[end - 1]):
            end -= 1
        return end


def _is_mark(character: str) -> bool:
    return character >= "\u00ad" and bool(_PATTERN.match(character * 3))

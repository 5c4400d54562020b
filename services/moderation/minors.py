"""Recognizes sexual text about minors by two signs, since nobody should write examples of it."""

from collections.abc import Sequence

import numpy as np
import re2  # type: ignore[import-untyped]

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores

_SEXUAL = CATEGORIES.index("sexual")
_MINORS = CATEGORIES.index("sexual/minors")
_AGE = (
    r"(?:[0-9]|1[0-7]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|(?:thir|four|fif|six|seven)teen)"
)
_SURE = re2.compile(
    rf"(?i)\b{_AGE}(?:[- ]?(?:years?|yrs?)(?:[- ]?olds?)?|[- ]?y\W?/?o)\b"
    rf"|\b(?:aged?|only|is|was|i'?m|am|turned|just) {_AGE}\b(?:[.,;!?]|$)"
    r"|\b(?:child(?:ren|hood)?|kids?|minors?|under-?aged?|pre-?teens?|toddlers?|infants?"
    r"|little (?:girl|boy|sister|brother)s?|young (?:girl|boy)s?|school-?(?:girl|boy)s?"
    r"|loli(?:ta|con)?s?|shota(?:con)?|pa?edo(?:phil\w+)?|jailbait|pre-?pubescent|kindergart\w+"
    r"|(?:elementary|primary|middle|junior high|grade) school(?:er)?s?"
    r"|(?:[1-9]|10|11)th[- ]grade(?:r)?s?|not yet (?:18|eighteen))\b"
)
# Words that are also said of adults.
_PERHAPS = re2.compile(
    r"(?i)\b(?:teen(?:age)?(?:r)?s?|high[- ]school(?:er)?s?|girls?|boys?|daughters?|sons?"
    r"|step-?(?:daughter|son|sister)s?|niece|nephew|(?:barely|just) (?:legal|18|eighteen)"
    r"|babysitters?|virgins?|freshm[ae]n|sophomores?|puberty|cheerleaders?)\b"
)
_PERHAPS_COUNTS = 0.4
# Where only the heads find a window sexual, which they also find books on law and health.
_BY_HEADS_COUNTS = 0.5


def compose_minors(windows: Sequence[str], scores: Scores) -> None:
    """Sets the scores of `sexual/minors`: how sexual it is, times how surely minors are meant.

    Until then that column holds what the reader says of `sexual`.
    """
    mentions = np.array([_mention(window) for window in windows], dtype=np.float32)
    sexual = np.maximum(scores[:, _MINORS], _BY_HEADS_COUNTS * scores[:, _SEXUAL])
    scores[:, _MINORS] = sexual * mentions


def _mention(window: str) -> float:
    if _SURE.search(window):
        return 1.0
    return _PERHAPS_COUNTS if _PERHAPS.search(window) else 0.0

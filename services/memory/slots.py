"""The parts of a sentence that may change while the rest stays: numbers, times and dates."""

import re

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
)
_DAY = r"(?:the )?\d{1,2}(?:st|nd|rd|th)?"
_WHEN = (
    rf"(?:{_DAY}(?: of)? {_MONTH}(?:,? \d{{4}})?|{_MONTH} {_DAY}(?:,? \d{{4}})?"
    rf"|{_MONTH}(?: \d{{4}})?"
    rf"|\d{{4}}-\d\d-\d\d|(?:next |this )?{_WEEKDAY}(?: (?:morning|afternoon|evening|night))?"
    r"|tomorrow|next (?:week|month|year)|(?:19|20)\d\d)"
)
_TIME = r"(?:\d{1,2}:\d\d(?: ?[ap]\.?m\b\.?)?|\d{1,2} ?[ap]\.?m\b\.?|(?<=at )\d{1,2}|noon|midnight)"
_NUMBER = (
    r"(?:[$€£]?\d[\d.,]*(?:%|k|m|bn)?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|(?<=have )one(?! of)|(?<=has )one(?! of))"
)
_SLOT = re.compile(
    rf"(?<![\w-])(?:(?P<when>{_WHEN})|(?P<time>{_TIME})|(?P<number>{_NUMBER}))(?![\w-])"
)
_OLD = re.compile(r"(?<=<number>) years?(?: old| of age)?$")
_KINDS = ("number", "time", "when")


def slotted(lower: str, *, one_kind: bool = False) -> tuple[str, list[str]]:
    """The sentence with <number>, <time> and <when> in place of these parts, and the parts.

    With `one_kind`, only the numbers if there are any, else only the times, else only the dates.
    """
    kinds = {match.lastgroup for match in _SLOT.finditer(lower)}
    if one_kind:
        kinds = {next((kind for kind in _KINDS if kind in kinds), None)}
    values: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match.lastgroup not in kinds:
            return match[0]
        values.append(match[0])
        return f"<{match.lastgroup}>"

    return _OLD.sub("", _SLOT.sub(mark, lower)), values

"""Makes plain statements of a fact.

They are in the first person, without negation and without words that do not change the meaning.
"""

import re
from dataclasses import dataclass

from services.memory.words import folded, plain_words, stems

_OPENING = re.compile(
    r"^(?:(?:please|remember|note|keep in mind|bear in mind|actually|by the way|btw|fyi|also|okay|"
    r"ok|so|well|now|from now on|for the record|correction)\b[,:;]?\s*(?:that\b\s*)?)+",
    re.I,
)
_USERS = re.compile(r"\b(?:the )?user's\b", re.I)
_USER = re.compile(r"^(?:the )?user (\w+)\b", re.I)
_VERBS = {"is": "am", "has": "have", "does": "do", "was": "was"}
_NOW = r"currently|actually|now|nowadays|presently|already|recently|just|please|again"
_PASSING = re.compile(
    r",?\s+(?:any ?more|any longer|these days|at the moment|right now|from now on"
    rf"|as of (?:now|today)|{_NOW})\b|(?<!\S)(?:{_NOW})\s+",
    re.I,
)
_NEGATIONS = (
    re.compile(r"\b(?:do|does|did) (?:not|never)\b\s*", re.I),
    re.compile(r"(?:\bhave |\bhas )?\b(?:stopped|quit|given up|gave up)\s+(?=\w+ing\b)", re.I),
    re.compile(r"\b(?:no longer|not|never)\b\s*", re.I),
    re.compile(r"(?<=\bhave )no\b\s*|(?<=\bhas )no\b\s*", re.I),
)
_CANNOT_STAND = re.compile(r"\bcan not stand\b", re.I)
_DISLIKE = re.compile(r"^i (?:really |absolutely )?(?:hate|dislike|detest)\b", re.I)
_LIKE = re.compile(r"^i (?:really |absolutely )?(?:like|love|enjoy|adore)\b", re.I)
_CLAUSES = re.compile(r"\s*(?:[.;!?]\s+|,?\s+(?:and|but)\s+|,\s*)(?=(?:i|my|we|our)\b(?!,))", re.I)
_ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A clause without its negation, and whether it had one."""

    text: str
    negated: bool

    def words(self) -> tuple[str, ...]:
        """Two statements that say the same have the same words."""
        return tuple(word for word in plain_words(self.text) if word not in _ARTICLES)

    def stems(self) -> tuple[str, ...]:
        """Two statements that say the opposite of each other have the same stems."""
        return tuple(stem for stem in stems(self.text) if stem not in _ARTICLES)


def statements(text: str) -> list[Statement]:
    """The clauses of a fact; a clause begins only where another subject is named."""
    text = folded(text)
    text = _OPENING.sub("", text) or text
    text = _USER.sub(_first_person, _USERS.sub("my", text))
    return [_statement(clause) for clause in _CLAUSES.split(text) if clause]


def _first_person(match: re.Match[str]) -> str:
    verb = match[1].lower()
    if verb in _VERBS:
        return f"I {_VERBS[verb]}"
    if verb.endswith("ies"):
        return f"I {verb[:-3]}y"
    if verb.endswith(("sses", "shes", "ches", "xes", "oes")):
        return f"I {verb[:-2]}"
    return f"I {verb[:-1]}" if verb.endswith("s") else f"I {verb}"


def _statement(clause: str) -> Statement:
    text = _CANNOT_STAND.sub("dislike", _PASSING.sub(" ", clause))
    negated = False
    for pattern in _NEGATIONS:
        text, count = pattern.subn("", text)
        negated |= bool(count)
    text = " ".join(text.split()).strip(' .!?,;:"')
    text = _LIKE.sub("I like", text)
    if _DISLIKE.match(text):
        return Statement(_DISLIKE.sub("I like", text), not negated)
    return Statement(text, negated)
